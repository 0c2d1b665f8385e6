package logs

import (
	"bytes"
	"compress/bzip2"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

const (
	printLen = 1024 // bytes of a file's head and tail that recognise it
	tries    = 3    // readings of a file that is rotated meanwhile
)

// file is a log file as it stands now.
type file struct {
	path       string
	dev, inode uint64
	size       int64
	changed    time.Time
}

func (f file) packed() bool {
	switch path.Ext(f.path) {
	case ".gz", ".xz", ".zst", ".bz2":
		return true
	}
	return false
}

// rotatedName is what logrotate, savelog and journald-like tools append.
var rotatedName = regexp.MustCompile(`^[.-](\d{1,3}|\d{8}(?:[.-]\d+)?|\d{4}-\d\d-\d\d(?:[T_-]?\d+)?|old)(\.(gz|xz|zst|bz2))?$`)

// Files reads what is new in the files that patterns name, with their rotated ones.
func Files(ctx context.Context, h host.Host, patterns []string, pos logbatch.Position, most int64, sink Sink) (*Collected, error) {
	r := &fileRead{h: h, sink: sink, left: most, c: &Collected{After: logbatch.Position{Files: map[string]logbatch.Spot{}, Newest: pos.Newest}}}
	found := false
	for _, pattern := range patterns {
		logs, err := r.find(ctx, pattern)
		if err != nil {
			return nil, err
		}
		for _, base := range logs {
			found = true
			if _, done := r.c.After.Files[base[len(base)-1].path]; done {
				continue // of another pattern, too
			}
			if err := r.log(ctx, base, pos); err != nil {
				return nil, err
			}
		}
	}
	for p := range pos.Files {
		if _, still := r.c.After.Files[p]; !still {
			r.c.gap(p, "the file is gone, and so are those that it was rotated to")
		}
	}
	if !found && len(pos.Files) == 0 {
		return nil, &ReadError{"log files", "nothing on the host fits " + strings.Join(patterns, ", ")}
	}
	return r.c, nil
}

type fileRead struct {
	h    host.Host
	sink Sink
	c    *Collected
	left int64
	n    int
}

// find lists the logs that fit a pattern: of each, the rotated ones, oldest first,
// and then the file that is written now.
func (r *fileRead) find(ctx context.Context, pattern string) ([][]file, error) {
	dir := path.Dir(pattern)
	list, err := r.h.List(ctx, dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	var names []string
	for _, info := range list {
		if info.Mode().IsRegular() {
			names = append(names, info.Name())
		}
	}
	var out [][]file
	for _, name := range names {
		if fits, _ := path.Match(path.Base(pattern), name); !fits || rotatedOf(name, names) != "" {
			continue // the site checked the pattern
		}
		var group []string
		for _, other := range names {
			if other != name && rotatedOf(other, []string{name}) == name {
				group = append(group, path.Join(dir, other))
			}
		}
		files, err := r.stat(ctx, append(group, path.Join(dir, name)))
		if err != nil {
			return nil, err
		}
		if len(files) > 0 && files[len(files)-1].path == path.Join(dir, name) {
			out = append(out, files)
		}
	}
	return out, nil
}

// rotatedOf is the name of the log that a name was rotated from; "" for none.
func rotatedOf(name string, names []string) string {
	for _, n := range names {
		if rest, ok := strings.CutPrefix(name, n); ok && rest != "" && rotatedName.MatchString(rest) {
			return n
		}
	}
	return ""
}

// stat asks for the identity of files; the last one stays the last, the others are
// sorted by age. Those that went meanwhile are left out.
func (r *fileRead) stat(ctx context.Context, paths []string) ([]file, error) {
	res, err := r.h.Run(ctx, host.Command{Args: append([]string{"stat", "-c", "%d %i %s %Y %n", "--"}, paths...)})
	if err != nil {
		return nil, err
	}
	var files []file
	for _, line := range strings.Split(strings.TrimSpace(string(res.Stdout)), "\n") {
		f := strings.SplitN(line, " ", 5)
		if len(f) != 5 {
			continue
		}
		var v [4]int64
		for i := range v {
			if v[i], err = strconv.ParseInt(f[i], 10, 64); err != nil || v[i] < 0 {
				return nil, fmt.Errorf("read what stat printed: %q", line)
			}
		}
		files = append(files, file{f[4], uint64(v[0]), uint64(v[1]), v[2], time.Unix(v[3], 0).UTC()})
	}
	current := paths[len(paths)-1]
	sort.SliceStable(files, func(i, j int) bool {
		a, b := files[i], files[j]
		switch {
		case (a.path == current) != (b.path == current):
			return b.path == current
		case !a.changed.Equal(b.changed):
			return a.changed.Before(b.changed)
		}
		return a.path > b.path // .2 is older than .1
	})
	return files, nil
}

// log reads what is new in one log.
func (r *fileRead) log(ctx context.Context, files []file, pos logbatch.Position) error {
	current := files[len(files)-1]
	was, known := pos.Files[current.path]
	for try := 0; ; try++ {
		spot, again, err := r.attempt(ctx, files, was, known)
		if err != nil {
			return err
		}
		if !again {
			r.c.After.Files[current.path] = spot
			return nil
		}
		if try == tries {
			return fmt.Errorf("read %s: %w", current.path, ErrChanging)
		}
		var paths []string
		dir := path.Dir(current.path)
		logs, err := r.find(ctx, current.path)
		if err != nil {
			return err
		}
		if len(logs) == 0 {
			return fmt.Errorf("read %s: %w", path.Join(dir, strings.Join(paths, " ")), ErrChanging)
		}
		files = logs[0]
	}
}

// attempt reads the rest of the file that was read last time, then the newer ones.
// again says that the files were rotated meanwhile: what was read is thrown away.
func (r *fileRead) attempt(ctx context.Context, files []file, was logbatch.Spot, known bool) (spot logbatch.Spot, again bool, err error) {
	begin, from := 0, int64(0)
	gaps, more := len(r.c.Gaps), r.c.More
	if known {
		at, err := r.recognise(ctx, files, was)
		if err != nil {
			return spot, errors.Is(err, os.ErrNotExist), notGone(err)
		}
		switch current := len(files) - 1; {
		case at >= 0:
			begin, from = at, was.Offset
		case was.Len == 0: // it was empty
			begin = current
		default:
			begin = current
			why := "it is in no rotated file: removed, or rotated away"
			if files[current].inode == was.Inode && files[current].dev == was.Dev {
				why = "it was truncated, or its inode was used again; what was written before that and not read is lost"
			}
			r.c.gap(fmt.Sprintf("%s after byte %d", files[current].path, was.Offset), "%s", why)
		}
	}
	var parts []*part
	undo := func(err error) (logbatch.Spot, bool, error) {
		for _, p := range parts {
			err = errors.Join(err, p.sink.Drop(p.File))
			r.left += p.Bytes
		}
		r.c.Gaps, r.c.More = r.c.Gaps[:gaps], more
		return logbatch.Spot{}, true, err
	}
	for i := begin; i < len(files); i++ {
		f := files[i]
		offset := int64(0)
		if i == begin {
			offset = from
		}
		if r.left <= 0 && i > begin {
			// What is not begun is for the next batch, which looks for this file first.
			r.c.More = true
			return r.keep(parts, spot), false, nil
		}
		p, end, err := r.read(ctx, f, offset)
		if p != nil {
			parts = append(parts, p)
		}
		if errors.Is(err, os.ErrNotExist) {
			return undo(nil)
		}
		if err != nil {
			_, _, err = undo(err)
			return spot, false, err
		}
		if spot, err = r.spot(ctx, f, end); errors.Is(err, os.ErrNotExist) {
			return undo(nil)
		} else if err != nil {
			_, _, err = undo(err)
			return spot, false, err
		}
		if f.changed.After(r.c.After.Newest) && p != nil {
			r.c.After.Newest = f.changed
		}
	}
	now, err := r.stat(ctx, []string{files[len(files)-1].path})
	if err != nil {
		_, _, err = undo(err)
		return spot, false, err
	}
	if last := files[len(files)-1]; len(now) != 1 || now[0].inode != last.inode || now[0].dev != last.dev || now[0].size < last.size {
		return undo(nil)
	}
	return r.keep(parts, spot), false, nil
}

// keep takes parts over, in the order in which they were written.
func (r *fileRead) keep(parts []*part, spot logbatch.Spot) logbatch.Spot {
	for _, p := range parts {
		r.c.Parts = append(r.c.Parts, p.Part)
	}
	return spot
}

func notGone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// recognise finds the file that was read last time: -1 when it is not there.
func (r *fileRead) recognise(ctx context.Context, files []file, was logbatch.Spot) (int, error) {
	order := make([]int, 0, len(files))
	for i := len(files) - 1; i >= 0; i-- { // where it was first
		if files[i].dev == was.Dev && files[i].inode == was.Inode {
			order = append([]int{i}, order...)
		} else {
			order = append(order, i)
		}
	}
	if was.Len == 0 {
		if i := order[0]; files[i].dev == was.Dev && files[i].inode == was.Inode {
			return i, nil
		}
		return -1, nil
	}
	for _, i := range order {
		same, err := r.same(ctx, files[i], was)
		if err != nil {
			return -1, err
		}
		if same {
			return i, nil
		}
	}
	return -1, nil
}

// same reports whether a file begins, and goes on before the offset, as it did.
func (r *fileRead) same(ctx context.Context, f file, was logbatch.Spot) (bool, error) {
	if !f.packed() {
		if f.size < was.Offset {
			return false, nil
		}
		head, err := r.sum(ctx, f.path, 0, was.Len)
		if err != nil || head != was.Head {
			return false, err
		}
		from := max(0, was.Offset-printLen)
		tail, err := r.sum(ctx, f.path, from, was.Offset-from)
		return tail == was.Tail, err
	}
	in, err := r.open(ctx, f, 0)
	if err != nil {
		return false, err
	}
	defer in.Close()
	head := make([]byte, was.Len)
	if _, err := io.ReadFull(in, head); err != nil || digest(head) != was.Head {
		return false, readable(err)
	}
	if was.Offset <= was.Len {
		from := max(0, was.Offset-printLen)
		return digest(head[from:was.Offset]) == was.Tail, nil
	}
	keep := min(was.Offset, printLen)
	tail := append([]byte(nil), head[max(0, int64(len(head))-keep):]...)
	buf := make([]byte, 64<<10)
	for at := was.Len; at < was.Offset; {
		n, err := io.ReadFull(in, buf[:min(int64(len(buf)), was.Offset-at)])
		at += int64(n)
		tail = append(tail, buf[:n]...)
		tail = tail[max(0, int64(len(tail))-keep):]
		if err != nil {
			return false, readable(err)
		}
	}
	return digest(tail) == was.Tail, nil
}

// readable tells an end of the file, which means another file, from an error.
func readable(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// sum digests n bytes of a file.
func (r *fileRead) sum(ctx context.Context, p string, from, n int64) (string, error) {
	in, err := r.h.Open(ctx, p, from)
	if err != nil {
		return "", err
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, n))
	if err != nil {
		return "", err
	}
	return digest(b), nil
}

// open reads a log from an offset of its clear bytes.
func (r *fileRead) open(ctx context.Context, f file, offset int64) (io.ReadCloser, error) {
	if !f.packed() {
		return r.h.Open(ctx, f.path, offset)
	}
	raw, err := r.h.Open(ctx, f.path, 0)
	if err != nil {
		return nil, err
	}
	in, err := unpack(path.Ext(f.path), raw)
	if err == nil {
		_, err = io.CopyN(io.Discard, in, offset)
	}
	if err != nil {
		raw.Close()
		return nil, &ReadError{f.path, "it cannot be unpacked: " + err.Error()}
	}
	return struct {
		io.Reader
		io.Closer
	}{in, raw}, nil
}

func unpack(ext string, raw io.Reader) (io.Reader, error) {
	switch ext {
	case ".gz":
		return gzip.NewReader(raw)
	case ".xz":
		return xz.ReaderConfig{DictCap: 64 << 20}.NewReader(raw)
	case ".bz2":
		return bzip2.NewReader(raw), nil
	}
	z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, err
	}
	return z, nil
}

// read copies a file from an offset to the end that it had when it was looked at,
// or, when it is packed, to its end. Without new bytes there is no part.
func (r *fileRead) read(ctx context.Context, f file, offset int64) (p *part, end int64, err error) {
	if !f.packed() && f.size <= offset {
		return nil, offset, nil
	}
	in, err := r.open(ctx, f, offset)
	if err != nil {
		return nil, offset, err
	}
	defer in.Close()
	r.n++
	p, err = newPart(r.sink, fmt.Sprintf("%04d-%s.zst", r.n, plain(path.Base(f.path))), f.path, offset)
	if err != nil {
		return nil, offset, err
	}
	limit := int64(1) << 50
	if !f.packed() {
		limit = f.size - offset
		if limit > r.left {
			limit, r.c.More = max(r.left, 1<<20), true
			limit = min(limit, f.size-offset)
		}
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{p}, struct{ io.Reader }{io.LimitReader(in, limit)}, make([]byte, 256<<10))
	if err == nil && !f.packed() && n < limit {
		err = os.ErrNotExist // it was truncated while it was read: look again
	}
	if cerr := p.close(); err == nil {
		err = cerr
	}
	p.Entries = p.lines
	r.left -= p.Bytes
	if err != nil && f.packed() && !errors.Is(err, os.ErrNotExist) && ctx.Err() == nil {
		err = &ReadError{f.path, err.Error()}
	}
	if err == nil && n == 0 { // a packed file that was read to its end before
		return nil, offset, p.sink.Drop(p.File)
	}
	return p, offset + n, err
}

// plain makes a name of a file of the batch.
func plain(name string) string {
	return strings.TrimLeft(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '_'
	}, name), ".")
}

// spot is where the reading of a file stands at an offset.
func (r *fileRead) spot(ctx context.Context, f file, offset int64) (logbatch.Spot, error) {
	s := logbatch.Spot{Dev: f.dev, Inode: f.inode, Offset: offset, Len: min(offset, printLen)}
	if f.packed() {
		in, err := r.open(ctx, f, 0)
		if err != nil {
			return s, err
		}
		defer in.Close()
		head := make([]byte, s.Len)
		if _, err := io.ReadFull(in, head); err != nil {
			return s, &ReadError{f.path, err.Error()}
		}
		s.Head = digest(head)
		rest := offset - s.Len
		keep := bytes.NewBuffer(nil)
		if skip := rest - printLen; skip > 0 {
			if _, err := io.CopyN(io.Discard, in, skip); err != nil {
				return s, &ReadError{f.path, err.Error()}
			}
			rest = printLen
		} else {
			keep.Write(head)
		}
		if _, err := io.CopyN(keep, in, rest); err != nil {
			return s, &ReadError{f.path, err.Error()}
		}
		b := keep.Bytes()
		s.Tail = digest(b[max(0, int64(len(b))-min(offset, printLen)):])
		return s, nil
	}
	var err error
	if s.Head, err = r.sum(ctx, f.path, 0, s.Len); err != nil {
		return s, err
	}
	from := max(0, offset-printLen)
	s.Tail, err = r.sum(ctx, f.path, from, offset-from)
	return s, err
}
