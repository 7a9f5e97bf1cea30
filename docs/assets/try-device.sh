#!/bin/sh
# Goes through what a device has to do with Bramley, and prints what came of it. Usage: try-device.sh DEVICE
# Needs `bramley` in the PATH, the running server's data folder (--data by BRAMLEY_DATA or BRAMLEY_CONFIG), and a device that
# is awake. It installs one profile without content of consequence, removes it again, and renews the device's identity.
set -u
device=${1:?expected a device: its UDID, as bramley device list shows it}
wait=${WAIT:-120}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=""

try() {
    what=$1
    shift
    "$@" >"$folder/out" 2>&1
    code=$?
    if [ "$code" -eq 0 ]; then
        echo "yes  $what"
    else
        echo "NO   $what (exit $code)"
        sed 's/^/     /' "$folder/out"
        failed="$failed $what;"
    fi
}

command() { bramley device command "$device" "$@" --wait "$wait" --yes; }

# The root CA of this server as a profile: a device that was enrolled trusts it already.
profile() {
    root=$(bramley certs list --kind root-ca --json | sed -n 's/.*"sha256": "\([0-9a-f]*\)".*/\1/p' | head -1)
    bramley certs show "$root" --pem | sed '/-----/d' >"$folder/root"
    cat <<END
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>PayloadType</key><string>Configuration</string><key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>try.bramley</string>
<key>PayloadUUID</key><string>6A6B7A2C-4E0B-4A0F-9A0B-0C2E5D1F7B10</string>
<key>PayloadDisplayName</key><string>Bramley: may be removed</string>
<key>PayloadContent</key><array><dict>
<key>PayloadType</key><string>com.apple.security.root</string><key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>try.bramley.root</string>
<key>PayloadUUID</key><string>6A6B7A2C-4E0B-4A0F-9A0B-0C2E5D1F7B11</string>
<key>PayloadContent</key><data>
$(cat "$folder/root")
</data></dict></array>
</dict></plist>
END
}

# A renewed identity is in use once the one before it is superseded.
renewed() {
    before=$(bramley device show "$device" --json | grep -o '"superseded"' | wc -l)
    bramley identity renew "$device" || return
    left=$wait
    while [ "$(bramley device show "$device" --json | grep -o '"superseded"' | wc -l)" -le "$before" ]; do
        [ "$left" -gt 0 ] || { echo "no renewed identity within $wait seconds"; return 3; }
        sleep 1
        left=$((left - 1))
    done
}

try "is on record" bramley device show "$device"
try "DeviceInformation" command DeviceInformation --query DeviceName --query OSVersion --query SerialNumber
try "SecurityInfo" command SecurityInfo
try "CertificateList" command CertificateList
try "ProfileList" command ProfileList
profile >"$folder/try.mobileconfig"
try "InstallProfile" command InstallProfile --profile "$folder/try.mobileconfig"
try "RemoveProfile" command RemoveProfile --identifier try.bramley
try "renews its identity" renewed
try "answers with the renewed identity" command SecurityInfo
echo "no: ${failed:-nothing}"
[ -z "$failed" ]
