"""What the API takes, and answers that are lists or of one endpoint alone, as it stands in JSON: camelCase keys."""
