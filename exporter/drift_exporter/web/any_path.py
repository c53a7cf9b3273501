"""The rest of a path as a parameter, ``{name:anything}``: slashes and line breaks too.

Importing the module makes the parameter known to the framework.
"""

from starlette.convertors import Convertor, register_url_convertor

ANYTHING = "anything"
"""What stands behind the colon of the parameter."""


class _Anything(Convertor[str]):
    # The framework's own "path" stops at a line break; names of columns may hold any sign.
    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor(ANYTHING, _Anything())
