from typing import Literal

EmbeddingBodyEncodingFormatType0 = Literal["base64", "float"]

EMBEDDING_BODY_ENCODING_FORMAT_TYPE_0_VALUES: set[EmbeddingBodyEncodingFormatType0] = {
    "base64",
    "float",
}


def check_embedding_body_encoding_format_type_0(value: str) -> EmbeddingBodyEncodingFormatType0:
    if value in EMBEDDING_BODY_ENCODING_FORMAT_TYPE_0_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {EMBEDDING_BODY_ENCODING_FORMAT_TYPE_0_VALUES!r}"
    )
