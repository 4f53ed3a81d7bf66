# First process of a node: makes its mounts, then reaps orphans until it is killed.
# $1: the node's folder, $2: the one of its logs.
set -eu
mkdir "$1/lib/containerd" "$1/lib/kubelet" "$1/lib/cni"
mount --bind "$1/lib" /var/lib
mount --bind "$2/log" /var/log
mount -t tmpfs -o mode=755 tmpfs /run
# kubelet wants these settings of the kernel, which are the whole machine's: it finds and writes files instead.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  file="/run/sys/${setting%=*}"
  mkdir -p "${file%/*}"
  echo "${setting#*=}" > "$file"
  mount --bind "$file" "/proc/sys/${setting%=*}"
done
# Volumes are mounted by kubelet and must be seen by containers.
mount --make-rshared /
ip link set lo up
touch "$1/ready"
exec catatonit -P
