"""What the differential run of two judges makes its files with."""
