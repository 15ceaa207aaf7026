#!/usr/bin/env bash
# Makes the container image without a container engine: the executable, the few libraries it is linked with, the
# certificate authorities, and nothing to run besides. Twice the same commit on the same Debian gives the same digest.
#
#   build.sh [EXECUTABLE]        builds the executable first, unless one is given
#
# target/image/oci       OCI layout, to be pushed: skopeo copy --preserve-digests oci:target/image/oci:latest docker://…
# target/image/deed.tar  the same as an archive, for `docker load`, `podman load`, `kind load image-archive`
# target/image/deed.cdx.json   what is in it (CycloneDX)
# target/image/digest    the digest by which the image is deployed
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/target/image
here=$PWD/deploy/image
PATH=$PWD/target/tools/bin:$PATH
# Every time in the image is that of the commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
created=$(date --utc --date="@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
revision=$(git rev-parse HEAD)
[ -z "$(git status --porcelain --untracked-files=no)" ] || revision=$revision-dirty
umask 022

# The place of the sources must not show in the executable.
build() {
    local home=${CARGO_HOME:-$HOME/.cargo} separator=$'\x1f'
    CARGO_INCREMENTAL=0 \
    CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=$home=/cargo${separator}--remap-path-prefix=$PWD=/deed" \
    CFLAGS="-ffile-prefix-map=$home=/cargo -ffile-prefix-map=$PWD=/deed" \
    CARGO=$here/cargo.sh \
        cargo-auditable auditable build --release --locked --package deed --target-dir "$out/build"
    executable=$out/build/release/deed
}

# A file of this machine under the path that it has there, whatever links lead to it.
take() {
    local to
    to=$(realpath --no-symlinks "$root/usr/${1#/usr}")
    install -D --mode="$2" "$(realpath "$1")" "$to"
}

# The Debian package that a file came with.
package() {
    dpkg-query --search "$1" 2>/dev/null || dpkg-query --search "${1#/usr}"
}

# The name, licence and record of a package, where scanners look for them.
record() {
    local name=$1
    install -D --mode=644 <(dpkg-query --status "$name" | grep -v '^Status:') "$root/var/lib/dpkg/status.d/$name"
    install -D --mode=644 "/usr/share/doc/$name/copyright" "$root/usr/share/doc/$name/copyright"
}

fill() {
    install -D --mode=755 "$executable" "$root/usr/bin/deed"
    # Debian's merged layout: /lib and /lib64 are links.
    mkdir -p "$root"/usr/{lib,lib64} "$root"/{etc,tmp,var/lib/deed}
    ln -s usr/bin "$root/bin"
    ln -s usr/lib "$root/lib"
    ln -s usr/lib64 "$root/lib64"
    local file name packages="base-files ca-certificates"
    # Every line of ldd that names a file: the libraries, and the loader.
    for file in $(ldd "$executable" | grep --only-matching '/[^ ]*'); do
        take "$file" 755
        name=$(package "$(realpath "$file")" | cut -d: -f1)
        packages="$packages $name"
    done
    for name in $(tr ' ' '\n' <<<"$packages" | sort -u); do record "$name"; done
    # The licences that Debian's copyright files refer to.
    for file in GPL-2 GPL-3 LGPL-2.1 MPL-2.0; do
        install -D --mode=644 "/usr/share/common-licenses/$file" "$root/usr/share/common-licenses/$file"
    done
    install --mode=644 /usr/lib/os-release "$root/usr/lib/os-release"
    ln -s ../usr/lib/os-release "$root/etc/os-release"
    # Those of the package alone: this machine may trust others besides.
    mkdir -p "$root/etc/ssl/certs"
    LC_ALL=C find /usr/share/ca-certificates/mozilla -name '*.crt' -print0 | LC_ALL=C sort -z |
        xargs -0 cat >"$root/etc/ssl/certs/ca-certificates.crt"
    printf 'root:x:0:0:root:/:/sbin/nologin\ndeed:x:65532:65532:deed:/var/lib/deed:/sbin/nologin\n' >"$root/etc/passwd"
    printf 'root:x:0:\ndeed:x:65532:\n' >"$root/etc/group"
    printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
    install -D --mode=644 "$here/deed.toml" "$root/etc/deed/deed.toml"
    chmod 1777 "$root/tmp"
    chmod 750 "$root/var/lib/deed"
}

# Sorted, everything with the time of the commit; all is root's, but for the folder that is written to.
pack() {
    local common=(--sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --numeric-owner --directory="$root")
    tar --create --file="$1" "${common[@]}" --owner=0 --group=0 --exclude=./var/lib/deed .
    tar --append --file="$1" "${common[@]}" --owner=65532 --group=65532 ./var/lib/deed
}

image() {
    local layout=$1 name=$1:latest
    rm -rf "$layout"
    umoci init --layout "$layout"
    umoci new --image "$name"
    umoci raw add-layer --image "$name" --history.created="$created" --history.created_by=deploy/image/build.sh "$out/layer.tar"
    umoci config --image "$name" --created="$created" --no-history \
        --os=linux --architecture="$(dpkg --print-architecture)" \
        --config.user=65532:65532 --config.workingdir=/var/lib/deed --config.stopsignal=SIGTERM \
        --config.entrypoint=/usr/bin/deed --config.cmd=serve \
        --config.env=PATH=/usr/bin --config.env=DEED_CONFIG=/etc/deed/deed.toml \
        --config.exposedports=8080/tcp --config.exposedports=8081/tcp \
        --config.label=org.opencontainers.image.title=Deed \
        --config.label=org.opencontainers.image.description="Proves who controls a domain name" \
        --config.label=org.opencontainers.image.version="$version" \
        --config.label=org.opencontainers.image.revision="$revision" \
        --config.label=org.opencontainers.image.created="$created"
    umoci gc --layout "$layout"
}

if [ $# -gt 0 ]; then executable=$(realpath "$1"); else build; fi
version=$("$executable" --version | cut -d' ' -f2)
root=$(mktemp --directory)
trap 'rm -rf "$root"' EXIT
# The top folder is in the image as well.
chmod 755 "$root"
mkdir -p "$out"
fill
pack "$out/layer.tar"
image "$out/oci"
rm -f "$out/layer.tar" "$out/deed.tar"
skopeo --insecure-policy copy --quiet "oci:$out/oci:latest" "docker-archive:$out/deed.tar:localhost/deed:latest"
"$here/sbom.py" "$executable" "$root" >"$out/deed.cdx.json"
skopeo --insecure-policy inspect --format '{{.Digest}}' "oci:$out/oci:latest" >"$out/digest"
echo "deed $version, $(du --apparent-size --total --human-readable "$out/oci/blobs" | tail -1 | cut -f1) compressed: $(cat "$out/digest")"
