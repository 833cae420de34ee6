"""The command line: a thin edge over the library, and the only reader of environment variables and the config file."""
