#!/bin/sh
# Prints docker-compose.yml with every image pinned to the digest that its tag has in the registry now; a tag can be
# pointed to another image later, a digest cannot. Needs Docker with buildx.
#
#   sh deploy/pin-images.sh >docker-compose.pinned.yml
#   docker compose -f docker-compose.pinned.yml up -d --build
set -eu
file=$(dirname "$0")/../docker-compose.yml

edits=
for image in $(sed -n 's/^    image: \(.*:.*\)$/\1/p' "$file" | sort -u); do
  digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image")
  case $digest in
    sha256:*) ;;
    *) echo "$image: the registry named no digest but '$digest'" >&2; exit 1 ;;
  esac
  edits="$edits
s|^    image: $image\$|&@$digest|"
done
sed "$edits" "$file"
