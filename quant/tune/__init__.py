"""From operations in real numbers to integers: ranges, number formats, fine-tuning."""
