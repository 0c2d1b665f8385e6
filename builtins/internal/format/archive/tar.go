package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"

	"github.com/neosofia/runner/builtins/internal/format/vma"
)

const (
	tarBlock    = 512
	maxEntries  = 1 << 28
	maxPath     = 4096 // what Linux takes
	maxName     = 255
	maxID       = math.MaxUint32 - 1 // the last one means "unchanged" to chown
	maxConfig   = 1 << 20
	vzdumpFiles = "etc/vzdump/"
)

// entry is one entry of a tar whose header has been checked.
type entry struct {
	*tar.Header
	path string // clean and relative; "." is the root of the tree
	link string // of a hard link: the same for its target
}

// entries reads a tar. place, if any, gets every entry and reads its data from
// r; what it leaves unread is passed over.
func (s *stream) entries(report *Report, place func(e entry, r io.Reader) error) error {
	t, tree := tar.NewReader(s), newShape()
	var far error // the first name that is out of reach
	for {
		at := s.n
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return s.tarFault(at, err)
		}
		if report.Entries++; report.Entries > maxEntries {
			return unsupportedf(s.name, "it has more than %d entries", maxEntries)
		}
		e, err := s.checkEntry(h)
		if err != nil && place == nil && beyondReach(h.Name) {
			report.outOfReach(h.Name)
			if far == nil {
				far = err
			}
			continue // what else is out of reach?
		}
		if err != nil {
			return err
		}
		if err := tree.take(e); err != nil {
			return s.placeFault(e, err)
		}
		if err := s.takeEntry(e, t, report, place); err != nil {
			return err
		}
	}
	if far != nil {
		return far
	}
	if s.err != nil { // archive/tar takes any end for the end
		return s.tarFault(s.n, errors.New("the archive ends before its two blocks of zeros"))
	}
	if err := s.zerosToTheEnd(); err != nil {
		return err
	}
	return s.wantConfig(report)
}

// tarFault says who is to blame for an error of archive/tar.
func (s *stream) tarFault(at int64, err error) error {
	if broken := s.broken(); broken != nil {
		return broken
	}
	return &Error{Name: s.name, What: fmt.Sprintf("tar entry behind byte %d of its contents", at), Err: err}
}

// zerosToTheEnd reads the padding behind the end mark.
func (s *stream) zerosToTheEnd() error {
	buf := make([]byte, inputBuffer)
	for {
		n, err := s.Read(buf)
		if !isZero(buf[:n]) {
			return &Error{Name: s.name, What: fmt.Sprintf("data follows the end of the tar, before byte %d of its contents", s.n)}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if s.n%tarBlock != 0 {
		return &Error{Name: s.name, What: fmt.Sprintf("its contents of %d bytes are not a whole number of tar blocks", s.n)}
	}
	return nil
}

func isZero(b []byte) bool {
	return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}

// takeEntry keeps the guest's configuration and hands the entry on.
func (s *stream) takeEntry(e entry, t *tar.Reader, report *Report, place func(entry, io.Reader) error) error {
	var data io.Reader = t
	var config *bytes.Buffer
	name := s.configName(e, report)
	if name != "" {
		if e.Size > maxConfig {
			return &Error{Name: s.name, What: fmt.Sprintf("%s has %d bytes, more than %d", name, e.Size, maxConfig)}
		}
		config = new(bytes.Buffer)
		data = io.TeeReader(t, config)
	}
	if place != nil {
		if err := place(e, data); err != nil {
			return s.placeFault(e, err)
		}
	}
	if config != nil {
		if _, err := io.Copy(io.Discard, data); err != nil {
			return s.tarFault(s.n, err)
		}
		report.Configs = append(report.Configs, vma.Config{Name: name, Data: config.Bytes()})
	}
	return nil
}

// placeFault says who is to blame when an entry could not be restored.
func (s *stream) placeFault(e entry, err error) error {
	if broken := s.broken(); broken != nil {
		return broken
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrHeader) {
		return s.tarFault(s.n, err)
	}
	var m misfit
	if errors.As(err, &m) {
		return &Error{Name: s.name, What: fmt.Sprintf("tar entry %q %s", e.Name, m)}
	}
	return fmt.Errorf("extract %s: %q: %w", s.name, e.Name, err)
}

// misfit is the error for an entry that cannot have been saved from a tree as
// the entries before it say that it was. It is a predicate of the entry.
type misfit string

func (m misfit) Error() string { return string(m) }

// configName returns the name of the configuration that the entry is, or "". A
// guest that was once restored holds such files of its own, of old: vzdump puts
// its own in front. Of pct.conf the first counts, wherever it is, as for Proxmox;
// pct.fw may be missing in front, so one in the tree is the guest's.
func (s *stream) configName(e entry, report *Report) string {
	name, ok := strings.CutPrefix(e.path, vzdumpFiles)
	s.inTree = s.inTree || !ok
	if s.format.wantConfig == "" || !ok || e.Typeflag != tar.TypeReg {
		return ""
	}
	if name != "pct.conf" && (name != "pct.fw" || s.inTree) {
		return ""
	}
	for _, c := range report.Configs {
		if c.Name == name {
			return ""
		}
	}
	return name
}

// checkEntry refuses what cannot be placed below a directory, and what this
// reader would understand otherwise than tar does.
func (s *stream) checkEntry(h *tar.Header) (entry, error) {
	e := entry{Header: h}
	bad := func(format string, args ...any) (entry, error) {
		return e, &Error{Name: s.name, What: fmt.Sprintf("tar entry %q ", h.Name) + fmt.Sprintf(format, args...)}
	}
	if h.Typeflag == tar.TypeXGlobalHeader {
		for key := range h.PAXRecords {
			if key != "comment" {
				return e, unsupportedf(s.name, "a global tar header sets %q for all entries", key)
			}
		}
		return e, nil
	}
	if major := h.PAXRecords["GNU.sparse.major"]; major != "" && major != "0" && major != "1" {
		return e, unsupportedf(s.name, "tar entry %q is sparse in version %s", h.Name, major)
	}
	if minor := h.PAXRecords["GNU.sparse.minor"]; minor != "" && minor != "0" && minor != "1" {
		return e, unsupportedf(s.name, "tar entry %q is sparse in minor version %s", h.Name, minor)
	}
	var err error
	if e.path, err = cleanPath(h.Name); err != nil {
		return bad("%v", err)
	}
	if h.Uid < 0 || int64(h.Uid) > maxID || h.Gid < 0 || int64(h.Gid) > maxID {
		return bad("has the owner %d:%d", h.Uid, h.Gid)
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		e.Typeflag = tar.TypeReg
	case tar.TypeDir, tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) >= maxPath || strings.IndexByte(h.Linkname, 0) >= 0 {
			return bad("is a symbolic link to %.40q (%d bytes)", h.Linkname, len(h.Linkname))
		}
	case tar.TypeLink:
		if e.link, err = cleanPath(h.Linkname); err != nil {
			return bad("is a hard link whose target %v", err)
		}
	default:
		return e, unsupportedf(s.name, "tar entry %q is of type %q", h.Name, h.Typeflag)
	}
	if e.path == "." && e.Typeflag != tar.TypeDir {
		return bad("replaces the root of the tree")
	}
	return e, nil
}

// beyondReach reports whether no program could open a name by its path.
func beyondReach(name string) bool {
	return len(name) >= maxPath || strings.Count(name, "/") >= MaxDepth
}

// outOfReach notes the topmost folder or file above a name that is itself out of reach.
func (r *Report) outOfReach(name string) {
	top, depth := name, 0
	for i := range len(name) {
		if name[i] != '/' {
			continue
		}
		if depth++; depth >= MaxDepth || i+1 >= maxPath {
			top = name[:i]
			break
		}
	}
	if last := len(r.OutOfReach) - 1; last >= 0 && r.OutOfReach[last] == top || last >= maxOutOfReach {
		return
	}
	r.OutOfReach = append(r.OutOfReach, top)
}

// cleanPath turns a name of the archive into a clean relative path. The errors
// are predicates.
func cleanPath(name string) (string, error) {
	switch {
	case name == "":
		return "", errors.New("is empty")
	case len(name) >= maxPath:
		return "", fmt.Errorf("has %d bytes, Linux takes less than %d", len(name), maxPath)
	case name[0] == '/':
		return "", errors.New("is absolute")
	case strings.IndexByte(name, 0) >= 0:
		return "", errors.New("holds a NUL")
	}
	depth := 0
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "..":
			return "", errors.New(`holds ".."`)
		case len(part) > maxName:
			return "", fmt.Errorf("holds a name of %d bytes, Linux takes %d", len(part), maxName)
		}
		if depth++; depth > MaxDepth {
			return "", fmt.Errorf("is more than %d levels deep", MaxDepth)
		}
	}
	return path.Clean(name), nil
}
