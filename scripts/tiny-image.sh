#!/bin/sh
# tiny-image.sh DIR TAG: a new OCI image layout DIR with one image, TAG, of a
# single empty layer for linux/amd64. Something to attach to; it runs nothing.
set -eu
dir=$1 tag=$2
[ ! -e "$dir" ] || { echo "$dir exists" >&2; exit 1; }
mkdir -p "$dir/blobs/sha256"

# blob MEDIATYPE: keeps stdin, prints its descriptor without the closing brace.
blob() {
  cat > "$dir/blob"
  hex=$(sha256sum < "$dir/blob" | cut -d ' ' -f 1)
  size=$(wc -c < "$dir/blob" | tr -d ' ')
  mv "$dir/blob" "$dir/blobs/sha256/$hex"
  printf '{"mediaType":"%s","digest":"sha256:%s","size":%s' "$1" "$hex" "$size"
}

oci=application/vnd.oci.image
# An empty tar archive: two blocks of 512 zeros.
layer=$(head -c 1024 /dev/zero | blob $oci.layer.v1.tar)
diff=${layer#*\"digest\":\"}
config=$(printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}}' "${diff%%\"*}" | blob $oci.config.v1+json)
manifest=$(printf '{"schemaVersion":2,"mediaType":"%s","config":%s},"layers":[%s}]}' $oci.manifest.v1+json "$config" "$layer" | blob $oci.manifest.v1+json)
printf '{"schemaVersion":2,"mediaType":"%s","manifests":[%s,"annotations":{"org.opencontainers.image.ref.name":"%s"}}]}' $oci.index.v1+json "$manifest" "$tag" > "$dir/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' > "$dir/oci-layout"
