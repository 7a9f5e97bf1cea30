#!/bin/sh
# Asks a device what it thinks of profiles that Bramley signed and encrypted, and prints what came of it.
# Usage: try-profiles.sh DEVICE [DEVICE:USER]. Needs `bramley` and openssl in the PATH, the running server's data folder (by
# BRAMLEY_DATA or BRAMLEY_CONFIG), and a device that is awake. Each profile holds nothing but the root of this server, which the
# device trusts already, and is removed again; the device also fetches a certificate, unless it has one, which is taken away again.
set -u
device=${1:?expected a device: its UDID, as bramley device list shows it}
user=${2:-}
wait=${WAIT:-120}
folder=$(mktemp -d)
failed=""
kept=""

told() {
    if [ "$1" -eq 0 ]; then
        echo "yes  $2"
    else
        echo "NO   $2"
        sed 's/^/     /' "$folder/out"
        failed="$failed $2;"
    fi
}

try() {
    what=$1
    shift
    "$@" >"$folder/out" 2>&1
    told "$?" "$what"
}

# What devices must refuse: yes, where the device answers with an error (1), and not where nothing was sent or answered.
refuse() {
    what=$1
    shift
    "$@" >"$folder/out" 2>&1
    [ "$?" -eq 1 ]
    told "$?" "$what"
}

skip() { echo "-    $1"; }

# However this ends, nothing of it stays assigned.
end() {
    if [ -n "$kept" ]; then
        bramley profile unassign try.bramley.kept --device "$device"
        bramley profile remove try.bramley.kept --yes ||
            echo "try.bramley.kept goes from $device once that is awake: have it forgotten then, by profile remove" >&3
    fi >/dev/null 2>&1
    rm -rf "$folder"
}
exec 3>&2
trap end EXIT
trap 'exit 130' INT TERM

# The root CA of this server as a profile with this PayloadIdentifier, in a file of this name.
profile() {
    root=$(bramley certs list --kind root-ca --json | sed -n 's/.*"sha256": "\([0-9a-f]*\)".*/\1/p' | head -1)
    cat >"$folder/$2" <<END
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>PayloadType</key><string>Configuration</string><key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>$1</string>
<key>PayloadUUID</key><string>6A6B7A2C-4E0B-4A0F-9A0B-0C2E5D1F7B20</string>
<key>PayloadDisplayName</key><string>Bramley: may be removed</string>
<key>PayloadScope</key><string>${3:-System}</string>
<key>PayloadContent</key><array><dict>
<key>PayloadType</key><string>com.apple.security.root</string><key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>$1.root</string>
<key>PayloadUUID</key><string>6A6B7A2C-4E0B-4A0F-9A0B-0C2E5D1F7B21</string>
<key>PayloadContent</key><data>
$(bramley certs show "$root" --pem | sed '/-----/d')
</data></dict></array>
</dict></plist>
END
}

install() { bramley device command "$1" InstallProfile --profile "$folder/$2" --wait "$wait" --yes; }
remove() { bramley device command "$1" RemoveProfile --identifier "$2" --wait "$wait" --yes; }

# Signs the plain profile with these options, and has the device install it.
signed() {
    rm -f "$folder/signed.mobileconfig"
    bramley profile sign "$folder/plain.mobileconfig" --output "$folder/signed.mobileconfig" "$@" &&
        install "$device" signed.mobileconfig
}

# Waits for a command to print this text.
until_told() {
    text=$1
    shift
    left=$wait
    until "$@" >"$folder/told" 2>&1 && grep -q "$text" "$folder/told"; do
        [ "$left" -gt 0 ] || { cat "$folder/told"; return 3; }
        sleep 1
        left=$((left - 1))
    done
}

# As an administrator does it: kept, encrypted to each device, assigned.
assigned() {
    kept=yes
    bramley profile add "$folder/kept.mobileconfig" --encrypt &&
        bramley profile assign try.bramley.kept --device "$device" &&
        until_told '"installed": 1' bramley profile show try.bramley.kept --json
}

unassigned() {
    bramley profile unassign try.bramley.kept --device "$device" &&
        until_told '"installed": 0' bramley profile show try.bramley.kept --json &&
        until_told "forgotten" bramley profile remove try.bramley.kept --yes &&
        kept=""
}

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

recipients() { bramley network list --device "$device" --template profile-recipient --json; }

# The certificate that the device fetched to have profiles encrypted to.
recipient() {
    until_told '"state": "installed"' recipients &&
        serial=$(sed -n 's/.*"serial": "\([0-9a-f]*\)".*/\1/p' "$folder/told" | head -1) &&
        bramley certs show "$serial" --pem >"$folder/recipient.pem"
}

fetched() { bramley network assign profile-recipient "$device" && recipient; }

if ! bramley device command "$device" ProfileList --wait "$wait" >"$folder/out" 2>&1; then
    told 1 "answers at all"
    exit 1
fi
profile try.bramley plain.mobileconfig
profile try.bramley.kept kept.mobileconfig
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$folder/stranger.key" -out "$folder/stranger.pem" -days 1 \
    -subj "/CN=nobody" 2>/dev/null

try "installs a signed profile" signed
try "installs one that is encrypted to its identity (AES-128)" signed --device "$device" --cipher aes-128-cbc
try "installs one that is encrypted to its identity (AES-256)" signed --device "$device" --cipher aes-256-cbc
refuse "refuses one that is encrypted to another" signed --encrypt-to "$folder/stranger.pem"
try "removes it" remove "$device" try.bramley
if recipients 2>/dev/null | grep -q '"state"'; then
    had_one=yes
    skip "fetches a certificate for decryption alone: it has one"
    recipient >"$folder/out" 2>&1
else
    had_one=""
    try "fetches a certificate for decryption alone" fetched
fi
try "installs a profile that is encrypted to that" signed --encrypt-to "$folder/recipient.pem"
try "removes it again" remove "$device" try.bramley
if [ -n "$had_one" ]; then
    skip "gives the certificate back: it keeps the one that it had"
else
    try "gives the certificate back" bramley network unassign profile-recipient "$device" --yes
fi
try "gets what is assigned to it, encrypted" assigned
try "renews its identity" renewed
try "opens what is encrypted to the renewed one" signed --device "$device"
try "removes that" remove "$device" try.bramley
try "removes what is assigned no more" unassigned
if [ -n "$user" ]; then
    profile try.bramley.user plain.mobileconfig User
    bramley profile sign "$folder/plain.mobileconfig" --output "$folder/user.mobileconfig" --device "$user" >"$folder/out" 2>&1
    try "installs an encrypted one for a user" install "$user" user.mobileconfig
    try "removes that from the user" remove "$user" try.bramley.user
fi
echo "no: ${failed:-nothing}"
[ -z "$failed" ]
