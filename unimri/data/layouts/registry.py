"""The readers of data sets by name: `format` in the settings chooses."""

import json
from typing import TYPE_CHECKING, get_args

from unimri.core.plugins import READER_GROUP, load_plugins, one_of
from unimri.core.settings import Settings, parse_settings
from unimri.data.layouts.base import Reader
from unimri.data.layouts.challenges import AcdcReader, ChaosReader, DecathlonReader
from unimri.data.layouts.folders import DicomReader, FastmriReader, IsmrmrdReader, NiftiReader

_BUILT_IN = (AcdcReader, ChaosReader, DecathlonReader, DicomReader, FastmriReader, IsmrmrdReader, NiftiReader)
_FORMATS = [name for kind in _BUILT_IN for name in get_args(kind.model_fields["format"].annotation)]
_PLUGINS = load_plugins(READER_GROUP, Reader, _FORMATS, "format")

if TYPE_CHECKING:
    ReaderSettings = Reader
else:
    ReaderSettings = one_of((*_BUILT_IN, *_PLUGINS.values()), "format")
"""Settings of any reader: `{format: NAME, ...}`."""


class ReaderChoice(Settings):
    """A reader's settings on their own."""

    reader: ReaderSettings


def parse_reader(text: str) -> Reader:
    """A reader from its name, such as dicom, or from its settings as JSON.

    Raises
    ------
    UnimriError
        When there is no such reader, or a setting is wrong.
    """
    named = text if text.lstrip().startswith("{") else json.dumps({"format": text})
    return parse_settings(ReaderChoice, f'{{"reader": {named}}}', "--reader").reader
