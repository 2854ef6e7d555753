"""Human-rating studies: from sampling questions to a report."""
