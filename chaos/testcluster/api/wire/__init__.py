"""AWS's protocols, from botocore's service models: requests are decoded, responses encoded.

    HttpRequest --decode--> Request --(an operation)--> result --encode--> HttpReply

`query` is the form-and-XML protocol of RDS and STS; `typed` holds JSON, which boto3 and the CLI speak
to CloudWatch and the tagging API, and CBOR (Smithy RPC v2), which other SDKs do; `rest` is the JSON of
FIS. All knowledge of names, types and errors is botocore's, so whatever its clients can send is
understood and whatever is answered they can read (tests hold every codec to botocore's own
serializers and parsers).

Unknown parameters are refused: silence about a misspelt one would be a fault nobody planned.
"""

from chaos.testcluster.api.wire.base import (
    Codec,
    HttpReply,
    HttpRequest,
    Request,
    service_model,
)
from chaos.testcluster.api.wire.query import QueryCodec
from chaos.testcluster.api.wire.rest import RestJsonCodec
from chaos.testcluster.api.wire.typed import CborCodec, JsonCodec

__all__ = [
    "CborCodec",
    "Codec",
    "HttpReply",
    "HttpRequest",
    "JsonCodec",
    "QueryCodec",
    "Request",
    "RestJsonCodec",
    "service_model",
]
