"""A product: what a build will do (`plan`), a month of it, its folder, its report."""
