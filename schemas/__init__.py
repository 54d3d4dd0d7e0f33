"""What crosses a boundary: the job spec, the records and their Arrow schemas. Imports neither torch nor ray."""
