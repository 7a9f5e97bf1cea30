#!/bin/sh
# Asks a Mac what it thinks of packages that Bramley signed. Usage: check-signed-package.sh FILE.pkg [THE-UNSIGNED-ONE.pkg]
# Needs macOS: pkgutil, xar and spctl. Installs nothing. With the unsigned package too, it compares what both unpack to.
set -u
signed=${1:?expected the signed package}
unsigned=${2:-}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

try() {
    what=$1
    shift
    if "$@" >"$folder/out" 2>&1; then
        echo "yes  $what"
    else
        echo "NO   $what (exit $?)"
        failed=1
    fi
    sed 's/^/     /' "$folder/out"
}

same() {
    pkgutil --expand "$unsigned" "$folder/before" && diff -r "$folder/before" "$folder/after"
}

sw_vers
try "xar reads the table of contents" xar -tf "$signed"
try "pkgutil unpacks it" pkgutil --expand "$signed" "$folder/after"
[ -z "$unsigned" ] || try "what is in it is what was in the unsigned one" same
# exits 1 for a signer whose root this Mac does not trust; the status line tells that from a signature that is invalid
try "pkgutil accepts the signature" pkgutil --check-signature "$signed"
# also refuses what is not notarized, which a package for MDM need not be
try "Gatekeeper would let a person install it" spctl --assess --type install --verbose=2 "$signed"
exit "$failed"
