// Package remote moves documents through OCI registries, OCI layouts and the
// local store: push, pull, attach, discover, login and logout. It is the only
// package that imports oras-go.
//
// # References
//
// A reference is one of three, decided by [ParseReference] without looking at
// the network or the disk:
//
//   - with Options.OCILayout it is DIR[:TAG] or DIR[@DIGEST], an OCI layout;
//   - where its first component, up to the first slash, contains a dot or a
//     colon or is "localhost", it is HOST[:PORT]/REPOSITORY[:TAG][@DIGEST], a
//     registry, as in Docker's rule;
//   - anything else, such as app:compat or team/app:compat, names an entry of
//     the local store. There is no default registry.
//
// # The local store
//
// The store is an OCI layout under $XDG_DATA_HOME/compat (by default
// ~/.local/share/compat). What was pushed to app:compat is tagged app:compat
// there; what was pulled from a registry is tagged with its whole reference, so
// that it is found again with the network unplugged. What was found attached to
// an image is kept with the image's reference and platform as annotations.
// Every writer holds a lock on the layout's directory, and the index is
// replaced by a rename, so a reader sees the old or the new one and a crash
// leaves one of the two.
//
// # Mirrors
//
// What reads a registry (Fetch, OpenArtifact) asks first the hosts that
// containerd's hosts.toml names for it, in their order, and the registry for
// what they do not have. A host with the capability pull is asked for content
// by digest, one with resolve for tags and referrers too. Pushes, tags and
// Discover go to the registry. Certificates of containerd's older form, *.crt
// without a hosts.toml, are not read.
//
// # Trust
//
// Every manifest and layer is verified against its digest and size, and refused
// on the size stated before it is read. A referrer is taken only if the
// artifactType and the subject.digest in its own manifest match: what the
// registry says about it in a list is a hint, no more.
package remote
