"""What the API takes and gives, as it stands in JSON: camelCase keys, money and times as strings."""
