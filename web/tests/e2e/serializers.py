"""What the API's fuzzer must know of bodies that are neither JSON nor a form: pieces of a file are their bytes."""

import schemathesis


@schemathesis.serializer("application/offset+octet-stream")
def piece(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode()
