"""The areas of the product: each has models (words), rules (pure decisions) and actions (verbs)."""
