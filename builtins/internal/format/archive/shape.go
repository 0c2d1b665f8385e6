package archive

import (
	"archive/tar"
	"fmt"
	"hash/maphash"
	"strings"
)

// shape follows what the entries of a tar make of a tree, without making it: an archive
// that could not be extracted is not called sound, and one that was called sound is
// extracted. It is asked about each entry, by Check and ExtractTree alike.
//
// It knows paths by a keyed hash of 64 bits: some 20 bytes an entry.
type shape struct {
	seed  maphash.Seed
	nodes map[uint64]nodeKind
	bytes int64
}

type nodeKind uint8

const (
	absent nodeKind = iota
	other           // anything but a directory
	emptyDir
	fullDir
)

func (k nodeKind) isDir() bool { return k == emptyDir || k == fullDir }

func newShape() *shape { return &shape{seed: maphash.MakeSeed(), nodes: map[uint64]nodeKind{}} }

func (s *shape) key(path string) uint64 { return maphash.String(s.seed, path) }

func (s *shape) kind(path string) nodeKind {
	if path == "." {
		return fullDir
	}
	return s.nodes[s.key(path)]
}

// take refuses an entry that does not fit those before it. Errors are misfits.
func (s *shape) take(e entry) error {
	if e.Typeflag == tar.TypeXGlobalHeader || e.path == "." {
		return nil
	}
	if e.Size < 0 || e.Size > defaultMaxBytes-s.bytes {
		return misfit(fmt.Sprintf("claims %d bytes: all files together have more than %d", e.Size, int64(defaultMaxBytes)))
	}
	s.bytes += e.Size
	if err := s.enter(e.path); err != nil {
		return err
	}
	if e.Typeflag == tar.TypeLink {
		if err := s.target(e.link); err != nil || e.link == e.path {
			return err // a file that is named twice stays as it is
		}
	}
	key := s.key(e.path)
	have := s.nodes[key]
	switch {
	case e.Typeflag == tar.TypeDir && have.isDir():
		return nil
	case have == fullDir:
		return misfit("takes the place of a directory that is not empty")
	case e.Typeflag == tar.TypeDir:
		s.nodes[key] = emptyDir
	default:
		s.nodes[key] = other
	}
	return nil
}

// enter holds that everything above a path is a directory; what no entry has named is
// made.
func (s *shape) enter(path string) error {
	for i, c := range []byte(path) {
		if c != '/' {
			continue
		}
		above := path[:i]
		if s.kind(above) == other {
			return misfit(fmt.Sprintf("lies below %q, which is not a directory", above))
		}
		s.nodes[s.key(above)] = fullDir
	}
	return nil
}

// target holds that a hard link's target is there, is no directory, and is reached
// through directories only.
func (s *shape) target(link string) error {
	for i, c := range []byte(link) {
		if c == '/' && !s.kind(link[:i]).isDir() {
			return misfit(fmt.Sprintf("is a hard link to %q, where %q is not a directory", link, link[:i]))
		}
	}
	switch s.kind(strings.TrimSuffix(link, "/")) {
	case absent:
		return misfit(fmt.Sprintf("is a hard link to %q, which is not there", link))
	case other:
		return nil
	}
	return misfit(fmt.Sprintf("is a hard link to %q, which is a directory", link))
}
