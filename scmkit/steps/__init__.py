"""What has been chosen on the way to an upload: plain data, without a widget."""
