"""Models that are spread over several processes: each looks at its own part, the first adds them up."""
