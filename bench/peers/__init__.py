"""What FitSync is measured against."""
