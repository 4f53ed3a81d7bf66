#!/bin/sh
# Builds or pushes one image: dockerfiles/image.sh build|push operator|worker|worker-gpu [options of the engine].
# `make images` and `make push` call it, and the tests do.
#
#   ENGINE     buildah, podman or docker; by default the first that is there
#   BASE       the image below, for a release by its digest; by default the one that the Dockerfiles name
#   REGISTRY   where the images are to lie
#   TAG        the whole name; by default REGISTRY/autolfads-<image>:<version of pyproject.toml>
set -eu
cd "$(dirname "$0")/.."

verb=${1:-} image=${2:-}
case "$verb $image" in
  "build operator" | "push operator") file=operator requirements= ;;
  "build worker" | "push worker") file=worker requirements= ;;
  "build worker-gpu" | "push worker-gpu") file=worker requirements=worker-gpu ;;
  *)
    echo "wanted build or push, and operator, worker or worker-gpu, found '$*'; say which" >&2
    exit 2
    ;;
esac
shift 2
if [ -z "${ENGINE:-}" ]; then
  for ENGINE in buildah podman docker ""; do command -v "$ENGINE" >/dev/null && break; done
fi
if [ -z "$ENGINE" ]; then
  echo "wanted buildah, podman or docker, found none of them; install one, or say ENGINE=path" >&2
  exit 1
fi
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
tag=${TAG:-${REGISTRY:+$REGISTRY/}autolfads-$image:$version}

if [ "$verb" = push ]; then
  exec "$ENGINE" push "$@" "$tag"
fi

licenses=$(sed -n 's/^license = "\(.*\)"$/\1/p' pyproject.toml)
revision=${REVISION-$(git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null || echo unknown)}
source=${SOURCE-$(git config remote.origin.url | grep '^https://' || true)}
# The same files are the same bytes whenever they are built: all times in layers are 1970. Docker takes it from
# SOURCE_DATE_EPOCH, and then for the image's own date only.
case "$ENGINE" in
  *docker*) set -- "$@" --build-arg SOURCE_DATE_EPOCH=0 ;;
  *) set -- "$@" --layers --timestamp 0 ;;
esac
"$ENGINE" build "$@" ${BASE:+--build-arg "BASE=$BASE"} ${requirements:+--build-arg "REQUIREMENTS=$requirements"} \
  --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "SOURCE=$source" \
  ${licenses:+--build-arg "LICENSES=$licenses"} --file "dockerfiles/$file.Dockerfile" --tag "$tag" .
echo "$tag: $("$ENGINE" images --format '{{.Size}}' "$tag")"
