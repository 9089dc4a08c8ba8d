"""Getting data from where it is published: CAMS, GEOS-CF and OpenAQ, complete, verified, and never twice."""
