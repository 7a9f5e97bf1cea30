"""XML property lists: a strict reader for what strangers send, and a writer for ours."""

from bramley.mdm.plist.kinds import Kind, kind_of
from bramley.mdm.plist.reading import loads
from bramley.mdm.plist.values import MAX_DEPTH, PlistValue, Writable
from bramley.mdm.plist.writing import dumps

__all__ = ["MAX_DEPTH", "Kind", "PlistValue", "Writable", "dumps", "kind_of", "loads"]
