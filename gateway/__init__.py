"""The campus gateway: takes in the meters' readings, stores them, forms intervals and settles them."""
