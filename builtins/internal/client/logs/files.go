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

// rotatedName is what logrotate, savelog and their like append.
var rotatedName = regexp.MustCompile(`^(\.\d{1,3}|[.-]\d{8}(?:[.-]\d+)?|-\d{4}-\d\d-\d\d(?:[T_-]?\d+)?|\.old)(\.(gz|xz|zst|bz2))?$`)

// log is one log: the file that is written now, unless it is just not there, and
// those that it was rotated to, oldest first.
type log struct {
	path    string
	rotated []file
	current *file
}

// all are its files, oldest first.
func (l log) all() []file {
	if l.current == nil {
		return l.rotated
	}
	return append(l.rotated[:len(l.rotated):len(l.rotated)], *l.current)
}

// Files reads what is new in the files that patterns name, with their rotated ones.
func Files(ctx context.Context, h host.Host, patterns []string, pos logbatch.Position, most int64, sink Sink) (*Collected, error) {
	return files(ctx, h, patterns, pos, most, sink, false)
}

// files can leave a line that is not ended yet for the next time.
func files(ctx context.Context, h host.Host, patterns []string, pos logbatch.Position, most int64, sink Sink, lines bool) (*Collected, error) {
	r := &fileRead{h: h, sink: sink, left: most, lines: lines, known: pos.Files,
		c: &Collected{After: logbatch.Position{Files: map[string]logbatch.Spot{}, Newest: pos.Newest}}}
	found := false
	for _, pattern := range patterns {
		logs, err := r.find(ctx, pattern)
		if err != nil {
			return nil, err
		}
		for _, l := range logs {
			found = true
			if _, done := r.c.After.Files[l.path]; done {
				continue // of another pattern, too
			}
			if err := r.log(ctx, l); err != nil {
				return nil, err
			}
		}
	}
	for p, spot := range pos.Files {
		if _, still := r.c.After.Files[p]; still {
			continue
		}
		if !spot.Gone { // told once; it goes on where it stood when it comes back
			r.c.gap(p, "the file is gone, and so are those that it was rotated to")
			spot.Gone = true
		}
		r.c.After.Files[p] = spot
	}
	if !found && len(pos.Files) == 0 {
		return nil, &ReadError{"log files", "nothing on the host fits " + strings.Join(patterns, ", ")}
	}
	return r.c, nil
}

type fileRead struct {
	h     host.Host
	sink  Sink
	c     *Collected
	known map[string]logbatch.Spot
	left  int64
	lines bool
	n     int
}

// find lists the logs that fit a pattern.
func (r *fileRead) find(ctx context.Context, pattern string) ([]log, error) {
	dir := path.Dir(pattern)
	list, err := r.h.List(ctx, dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	there := map[string]bool{}
	var names []string
	for _, info := range list {
		if info.Mode().IsRegular() {
			names = append(names, info.Name())
			there[info.Name()] = true
		}
	}
	bases := append([]string(nil), names...)
	for p := range r.known { // it may have been rotated, and not been made anew yet
		if path.Dir(p) == dir && !there[path.Base(p)] {
			bases = append(bases, path.Base(p))
		}
	}
	var out []log
	for _, name := range bases {
		fits, _ := path.Match(path.Base(pattern), name) // the site checked the pattern
		if !fits || rotatedOf(name, bases) != "" {
			continue
		}
		l, err := r.look(ctx, dir, name, names, there)
		if err != nil {
			return nil, err
		}
		if len(l.all()) > 0 {
			out = append(out, l)
		}
	}
	return out, nil
}

// look gathers the files of a log. A file that is being packed lies there twice: the
// one that is not packed is whole.
func (r *fileRead) look(ctx context.Context, dir, name string, names []string, there map[string]bool) (log, error) {
	l := log{path: path.Join(dir, name)}
	var paths []string
	for _, other := range names {
		if other == name || rotatedOf(other, []string{name}) == name {
			if clear := strings.TrimSuffix(other, path.Ext(other)); (file{path: other}).packed() && there[clear] && clear != name {
				continue
			}
			paths = append(paths, path.Join(dir, other))
		}
	}
	if len(paths) == 0 {
		return l, nil
	}
	files, err := r.stat(ctx, paths)
	if err != nil {
		return l, err
	}
	for _, f := range files {
		if f.path == l.path {
			l.current = &f
		} else {
			l.rotated = append(l.rotated, f)
		}
	}
	return l, nil
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

// stat asks for the identity of files and sorts them by age. Those that went
// meanwhile are left out.
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
	sort.SliceStable(files, func(i, j int) bool {
		a, b := files[i], files[j]
		if !a.changed.Equal(b.changed) {
			return a.changed.Before(b.changed)
		}
		return a.path > b.path // .2 is older than .1
	})
	return files, nil
}

// log reads what is new in one log. When it is rotated meanwhile, what was read is
// thrown away, and read again.
func (r *fileRead) log(ctx context.Context, l log) error {
	for try := 0; ; try++ {
		spot, again, err := r.attempt(ctx, l)
		if err != nil {
			return err
		}
		if !again {
			r.c.After.Files[l.path] = spot
			return nil
		}
		if try == tries {
			return fmt.Errorf("read %s: %w", l.path, ErrChanging)
		}
		logs, err := r.find(ctx, l.path)
		if err != nil {
			return err
		}
		if len(logs) == 0 {
			return fmt.Errorf("read %s: %w", l.path, ErrChanging)
		}
		l = logs[0]
	}
}

// attempt reads the rest of the file that was read last time, then the newer ones.
func (r *fileRead) attempt(ctx context.Context, l log) (spot logbatch.Spot, again bool, err error) {
	was, known := r.known[l.path]
	files := l.all()
	gaps, more := len(r.c.Gaps), r.c.More
	begin, from := 0, int64(0)
	if known {
		if begin, from, err = r.resume(ctx, l, was); err != nil {
			return spot, errors.Is(err, os.ErrNotExist), notGone(err)
		}
		if begin >= len(files) { // nothing is there that was not read
			return was, false, nil
		}
	}
	var parts []*part
	undo := func(err error) (logbatch.Spot, bool, error) {
		for _, p := range parts {
			err = errors.Join(err, p.sink.Drop(p.File))
			r.left += p.Bytes
		}
		r.c.Gaps, r.c.More = r.c.Gaps[:gaps], more
		return logbatch.Spot{}, err == nil, err
	}
	for i := begin; i < len(files); i++ {
		if r.left <= 0 && i > begin {
			r.c.More = true // the next batch looks for this file first, and goes on behind it
			spot.Rotated = true
			return r.keep(l, parts, spot), false, nil
		}
		f, offset := files[i], int64(0)
		if i == begin {
			offset = from
		}
		p, end, err := r.read(ctx, f, offset)
		if p != nil {
			parts = append(parts, p)
		}
		var unreadable *ReadError
		if errors.As(err, &unreadable) { // packed, and damaged: nothing more will come of it
			r.c.gap(f.path, "%s", unreadable.Said)
			r.c.Damaged = unreadable.Error()
			if p != nil {
				parts = parts[:len(parts)-1]
				r.left += p.Bytes
				if err := r.sink.Drop(p.File); err != nil {
					return undo(err)
				}
			}
			continue
		}
		if err == nil {
			spot, err = r.spot(ctx, f, end)
		}
		if errors.Is(err, os.ErrNotExist) {
			return undo(nil)
		}
		if err != nil {
			return undo(err)
		}
		if f.changed.After(r.c.After.Newest) && p != nil {
			r.c.After.Newest = f.changed
		}
		if rotated := l.current == nil || i < len(files)-1; rotated && r.c.More && r.left <= 0 {
			spot.Rotated = true
			return r.keep(l, parts, spot), false, nil
		}
	}
	if l.current == nil {
		spot.Rotated = true
		return r.keep(l, parts, spot), false, nil
	}
	now, err := r.stat(ctx, []string{l.path})
	if err != nil {
		return undo(err)
	}
	if len(now) != 1 || now[0].inode != l.current.inode || now[0].dev != l.current.dev || now[0].size < l.current.size {
		return undo(nil)
	}
	if n := len(l.rotated); n > 0 {
		if spot.Before, err = r.print(ctx, l.rotated[n-1]); errors.Is(err, os.ErrNotExist) {
			return undo(nil)
		} else if err != nil {
			return undo(err)
		}
	}
	return r.keep(l, parts, spot), false, nil
}

// keep takes parts over, in the order in which they were written.
func (r *fileRead) keep(l log, parts []*part, spot logbatch.Spot) logbatch.Spot {
	for _, p := range parts {
		p.Log = l.path
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

// print recognises a rotated file later. One that cannot be unpacked has none.
func (r *fileRead) print(ctx context.Context, f file) (*logbatch.Print, error) {
	p := &logbatch.Print{Dev: f.dev, Inode: f.inode}
	in, err := r.open(ctx, f, 0)
	if err != nil {
		if errors.As(err, new(*ReadError)) {
			return p, nil
		}
		return nil, err
	}
	defer in.Close()
	head := make([]byte, printLen)
	n, err := io.ReadFull(in, head)
	if readable(err) != nil && !f.packed() {
		return nil, err
	}
	p.Len, p.Head = int64(n), digest(head[:n])
	return p, nil
}

// resume says where to go on: in which file, and from which byte of it.
//
// What was the file then is, after a rotation, the oldest of the rotated files that
// came since: whether it was renamed or copied. Without a rotation it is the file
// that is written now. Only when the rotated files cannot be told apart any more, all
// of them are looked at.
func (r *fileRead) resume(ctx context.Context, l log, was logbatch.Spot) (begin int, from int64, err error) {
	files := l.all()
	since := -1
	if !was.Rotated {
		if since, err = r.since(ctx, l, was.Before); err != nil {
			return 0, 0, err
		}
	}
	if since >= 0 {
		if since == len(files) { // its successor was not made yet, and nothing was rotated
			return since, 0, nil
		}
		same, err := r.same(ctx, files[since], was)
		if err != nil {
			return 0, 0, err
		}
		if same {
			return since, was.Offset, nil
		}
	}
	at, err := r.recognise(ctx, files, was)
	switch {
	case err != nil:
		return 0, 0, err
	case at >= 0 && (since < 0 || at >= since):
		return at, was.Offset, nil
	case since >= 0 && was.Len == 0: // it was empty: nothing of it can be lost
		return since, 0, nil
	}
	begin = max(since, 0)
	if since < 0 {
		begin = len(files) - 1
	}
	why := "it is in no rotated file: removed, or rotated away"
	if c := l.current; c != nil && c.inode == was.Inode && c.dev == was.Dev {
		why = "it was truncated, or its inode was used again; what was written before that and not read is lost"
	}
	r.c.gap(fmt.Sprintf("%s after byte %d", l.path, was.Offset), "%s", why)
	return begin, 0, nil
}

// since is the index of the first file that is newer than the rotated ones were then:
// -1 when that cannot be told.
func (r *fileRead) since(ctx context.Context, l log, before *logbatch.Print) (int, error) {
	if before == nil { // there were none
		return 0, nil
	}
	for i := len(l.rotated) - 1; i >= 0; i-- {
		f := l.rotated[i]
		if before.Len == 0 {
			if f.dev == before.Dev && f.inode == before.Inode {
				return i + 1, nil
			}
			continue
		}
		p, err := r.print(ctx, f)
		if err != nil {
			return -1, err
		}
		if p.Len == before.Len && p.Head == before.Head {
			return i + 1, nil
		}
	}
	return -1, nil
}

// recognise finds the file that was read last time: -1 when it is not there. The
// oldest that fits is it: a newer one can begin with the same words.
func (r *fileRead) recognise(ctx context.Context, files []file, was logbatch.Spot) (int, error) {
	if was.Len == 0 {
		for i, f := range files {
			if f.dev == was.Dev && f.inode == was.Inode {
				return i, nil
			}
		}
		return -1, nil
	}
	for i, f := range files {
		same, err := r.same(ctx, f, was)
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
	if errors.As(err, new(*ReadError)) {
		return false, nil // it cannot be unpacked: it is none that was read
	}
	if err != nil {
		return false, err
	}
	defer in.Close()
	head := make([]byte, was.Len)
	if _, err := io.ReadFull(in, head); err != nil || digest(head) != was.Head {
		return false, nil
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
			return false, nil
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
	limit := max(r.left, 1<<20)
	if rest := f.size - offset; !f.packed() && rest <= limit {
		limit = rest
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{p}, struct{ io.Reader }{io.LimitReader(in, limit)}, make([]byte, 256<<10))
	switch {
	case err != nil:
	case !f.packed() && offset+n < min(f.size, offset+limit):
		err = os.ErrNotExist // it was truncated while it was read: look again
	case !f.packed() && offset+n < f.size, f.packed() && n == limit:
		r.c.More = true
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
	if r.lines && !f.packed() {
		n -= p.unended
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
