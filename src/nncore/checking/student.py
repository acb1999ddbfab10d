"""stub"""


class CheckReport: ...


def check() -> None: ...
