"""A local web application to look through versions, sources and detections, and to judge them."""
