"""An OUTPUT in other people's formats."""
