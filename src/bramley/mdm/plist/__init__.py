"""XML property lists: a strict reader for what strangers send, and a writer for ours."""

from bramley.mdm.plist.reading import loads
from bramley.mdm.plist.values import PlistValue, Writable
from bramley.mdm.plist.writing import dumps

__all__ = ["PlistValue", "Writable", "dumps", "loads"]
