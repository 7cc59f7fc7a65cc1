"""An internet radio whose listeners outlive their connections."""
