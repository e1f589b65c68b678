"""From a source of pictures to uint8 batches."""
