"""The base: its autoencoder, its UNet and text encoder, and what is measured of them."""
