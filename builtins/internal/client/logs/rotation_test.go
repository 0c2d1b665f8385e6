package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

// Whoever rotates, however, and whenever a batch is taken, also in the middle of it:
// each line comes once, those of a file in their order. What was removed before a
// batch could see it is reported, and nothing else is. RUNNER_ROTATIONS=N draws N schemes
// instead, RUNNER_ROTATION=SEED one.
func TestAnyRotationLosesNothingAndDoublesNothing(t *testing.T) {
	for _, seed := range seeds(t, 40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newRotation(t, seed)
			for range 20 + w.r.IntN(30) {
				w.act()
			}
			w.settle()
			w.judge()
		})
	}
}

// The same while the writer writes, and the files are rotated at the same time.
func TestRotationUnderLoadLosesNothingAndDoublesNothing(t *testing.T) {
	for _, seed := range seeds(t, 8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newRotation(t, seed)
			w.loaded, w.small, w.keep = true, false, 1000
			if w.pack != "" {
				w.delay = true
			}
			var wg sync.WaitGroup
			defer wg.Wait() // whatever ends the test: the writer writes into its folder
			done := make(chan struct{})
			wg.Go(func() {
				defer close(done)
				for range 60 {
					for _, l := range w.logs {
						w.write(l, 1+w.r.IntN(40))
						if w.r.IntN(6) == 0 {
							w.rotate(l)
						}
					}
				}
			})
			for running := true; running; {
				select {
				case <-done:
					running = false
				default:
					w.batch()
				}
			}
			wg.Wait()
			w.settle()
			w.judge()
		})
	}
}

func seeds(t *testing.T, n int) []uint64 {
	t.Helper()
	if one, err := strconv.ParseUint(os.Getenv("RUNNER_ROTATION"), 10, 64); err == nil {
		return []uint64{one}
	}
	if many, err := strconv.Atoi(os.Getenv("RUNNER_ROTATIONS")); err == nil {
		n = many
	}
	var out []uint64
	for i := range n {
		if i < n*3/4 {
			out = append(out, uint64(i)) // always the same, and some that nobody tried yet
		} else {
			out = append(out, rand.Uint64N(1<<40))
		}
	}
	return out
}

// rotation is a folder with logs, who writes and rotates them, and what was shipped.
type rotation struct {
	t   *testing.T
	r   *rand.Rand
	dir string

	logs     []*rotated
	patterns []string
	naming   string
	copies   bool   // and truncates
	appends  bool   // the writer's descriptor: else a truncated file begins with a hole
	pack     string // ending
	delay    bool
	keep     int // files
	holds    bool
	reuses   bool // inodes
	back     bool // the clock goes back now and then
	banner   string
	small    bool // batches
	loaded   bool

	now    time.Time
	pos    logbatch.Position
	more   bool
	got    map[string][]string
	seen   map[string]bool
	lost   map[string]bool
	report bool            // something was lost since the last batch
	window map[string]bool // written after the copy and before the truncation
	rest   map[string]string
	tail   map[string]string // by log: what the file held that was written last, at the last batch
}

// rotated is one log.
type rotated struct {
	path  string
	f     *os.File
	lines []string
	turns int  // rotations so far
	gone  int  // those whose files were removed
	late  bool // its file was renamed, and the writer has it still
}

func newRotation(t *testing.T, seed uint64) *rotation {
	w := &rotation{t: t, r: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(), now: time.Date(2026, 11, 28, 4, 0, 0, 0, time.UTC),
		got: map[string][]string{}, seen: map[string]bool{}, lost: map[string]bool{}, window: map[string]bool{}, tail: map[string]string{},
		rest: map[string]string{}}
	r := w.r
	w.naming = []string{"%s.N", "stem.N.ext", "%s-day", "%s-hour", "stem-hour.ext", "%s.date", "%s.seconds", "stem-date-n.ext", "%s-wN",
		"%s.old.N"}[r.IntN(10)]
	w.copies, w.appends, w.holds = r.IntN(2) == 0, r.IntN(3) > 0, r.IntN(2) == 0
	w.pack, w.delay = []string{"", "", "", ".gz", ".gz", ".zst", ".zst", ".xz"}[r.IntN(8)], r.IntN(2) == 0
	w.keep, w.reuses, w.back, w.small = []int{1, 2, 4, 100}[r.IntN(4)], r.IntN(2) == 0, r.IntN(8) == 0, r.IntN(10) == 0
	banners := []string{"", "", "# written by release 7\n", strings.Repeat("# Fields: date time s-ip cs-method cs-uri-stem\n", 30)}
	w.banner = banners[r.IntN(4)]
	names := []string{"app.log", []string{"app-error.log", "app.log-audit", "application.log", "app"}[r.IntN(4)]}
	for _, n := range names[:1+r.IntN(2)] {
		l := &rotated{path: filepath.Join(w.dir, n)}
		w.logs = append(w.logs, l)
		w.patterns = append(w.patterns, l.path)
		w.open(l)
	}
	t.Logf("%s; copies %v, appends %v, pack %q, delay %v, keep %d, holds %v, reuses %v, back %v, banner %d, small %v",
		w.naming, w.copies, w.appends, w.pack, w.delay, w.keep, w.holds, w.reuses, w.back, len(w.banner), w.small)
	all := r.IntN(2) == 0
	if strange := w.naming == "%s-wN" || w.naming == "%s.old.N"; strange {
		w.teach()
	} else if all { // without the log itself, a rotated file would be one
		w.patterns = []string{filepath.Join(w.dir, "app*")}
		w.batch()
	} else if w.copies { // whether a few bytes are a copy is reported by the inode
		w.batch()
	}
	return w
}

// teach renames, so that names that no rule knows are recognised by what is in them.
func (w *rotation) teach() {
	copies, pack := w.copies, w.pack
	w.copies, w.pack = false, ""
	for _, l := range w.logs {
		w.write(l, 1)
	}
	w.batch()
	for _, l := range w.logs {
		w.rotate(l)
		w.open(l)
	}
	w.batch()
	w.copies, w.pack = copies, pack
}

// say shows what lies there after a step, when the test fails.
func (w *rotation) say(format string, args ...any) {
	if w.loaded {
		return
	}
	text := fmt.Sprintf(format, args...)
	files, err := os.ReadDir(w.dir)
	w.must(err)
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			text += fmt.Sprintf("  %s %d", f.Name(), info.Size())
		}
	}
	w.t.Log(text)
}

func (w *rotation) must(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *rotation) act() {
	l := w.logs[w.r.IntN(len(w.logs))]
	switch w.r.IntN(8) {
	case 0, 1, 2:
		w.write(l, w.r.IntN(30))
	case 3:
		w.write(l, 1+w.r.IntN(2))
	case 4, 5:
		w.batch()
	default:
		w.rotate(l)
	}
}

// maybe takes a batch in the middle of something.
func (w *rotation) maybe() {
	if !w.loaded && w.r.IntN(5) == 0 {
		w.batch()
	}
}

// tick is the time of a change. Those of files are set: the kernel's clock is coarse.
func (w *rotation) tick(path string) {
	w.now = w.now.Add(time.Duration(1+w.r.IntN(90_000)) * time.Millisecond)
	if w.back && w.r.IntN(10) == 0 {
		w.now = w.now.Add(-2 * time.Hour)
	}
	if path != "" && !w.loaded {
		w.must(os.Chtimes(path, w.now, w.now))
	}
}

func (w *rotation) open(l *rotated) {
	if l.f != nil {
		w.must(l.f.Close())
	}
	how := os.O_CREATE | os.O_WRONLY
	if w.appends {
		how |= os.O_APPEND
	}
	var err error
	l.f, err = os.OpenFile(l.path, how, 0o600)
	w.must(err)
	l.late = false
	at, err := l.f.Seek(0, io.SeekEnd)
	w.must(err)
	w.say("%s is opened", filepath.Base(l.path))
	if at == 0 {
		_, err = l.f.WriteString(w.banner)
		w.must(err)
		w.tick(l.path)
	}
}

func (w *rotation) write(l *rotated, n int) {
	if l.late && w.r.IntN(2) == 0 {
		w.open(l)
	}
	for range n {
		line := fmt.Sprintf("%s %d.%d %s", filepath.Base(l.path), l.turns, len(l.lines), strings.Repeat("x", w.r.IntN(100)))
		if w.small && w.r.IntN(10) == 0 {
			line += strings.Repeat("y", 1<<18)
		}
		l.lines = append(l.lines, line)
		_, err := l.f.WriteString(line + "\n")
		w.must(err)
	}
	w.say("%d lines of %s", n, filepath.Base(l.path))
	if n > 0 && !w.loaded {
		w.tick("")
		w.must(os.Chtimes(fmt.Sprintf("/proc/self/fd/%d", l.f.Fd()), w.now, w.now))
	}
}

// name is that of the file of a rotation.
func (w *rotation) name(l *rotated, turn int) string {
	ext := filepath.Ext(l.path)
	stem := strings.TrimSuffix(l.path, ext)
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	hour, day := at.Add(time.Duration(turn)*time.Hour), at.AddDate(0, 0, turn)
	n := strconv.Itoa(l.turns - turn)
	return strings.NewReplacer("%s", l.path, "stem", stem, ".ext", ext, "N", n, "date-n", day.Format("2006-01-02")+"-"+strconv.Itoa(turn),
		"date", day.Format("2006-01-02"),
		"day", day.Format("20060102"), "hour", hour.Format("2006010215"), "seconds", strconv.FormatInt(hour.Unix(), 10)).Replace(w.naming)
}

// rotate does what logrotate does, in its order, and may be looked at between.
func (w *rotation) rotate(l *rotated) {
	if l.late { // a service is asked to open its log anew after each rotation
		w.open(l)
	}
	if w.pack != "" && w.delay && l.turns > l.gone {
		w.compress(w.name(l, l.turns-1))
	}
	l.turns++
	for turn := l.gone; turn < l.turns-1 && strings.Contains(w.naming, "N"); turn++ {
		for _, ext := range []string{"", w.pack} {
			l.turns--
			from := w.name(l, turn) + ext
			l.turns++
			if _, err := os.Stat(from); err == nil {
				w.must(os.Rename(from, w.name(l, turn)+ext))
				w.maybe()
				break
			}
		}
	}
	to := w.name(l, l.turns-1)
	w.say("rotation of %s to %s", filepath.Base(l.path), filepath.Base(to))
	if w.copies {
		w.copyTruncate(l, to)
	} else {
		w.must(os.Rename(l.path, to))
		l.late = true
		w.maybe()
		w.create(l)
		w.maybe()
		if !w.holds || w.pack != "" && !w.delay {
			w.open(l)
		}
	}
	if w.pack != "" && !w.delay {
		w.compress(to)
	}
	for l.turns-l.gone > w.keep {
		for _, ext := range []string{"", w.pack} {
			if p := w.name(l, l.gone) + ext; w.there(p) {
				w.destroy(l, func() { w.must(os.Remove(p)) }, true)
				break
			}
		}
		l.gone++
		w.maybe()
	}
}

func (w *rotation) there(p string) bool { _, err := os.Stat(p); return err == nil }

// create makes the new file, which may get the inode of the oldest.
func (w *rotation) create(l *rotated) {
	if oldest := w.name(l, l.gone); w.reuses && l.turns-l.gone > w.keep && w.there(oldest) {
		w.destroy(l, func() {
			w.must(os.Truncate(oldest, 0))
			w.must(os.Rename(oldest, l.path))
		}, true)
		l.gone++
		w.tick(l.path)
		return
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY, 0o600)
	w.must(err)
	w.must(f.Close())
	w.tick(l.path)
}

func (w *rotation) copyTruncate(l *rotated, to string) {
	raw, err := os.ReadFile(l.path)
	w.must(err)
	half := w.r.IntN(len(raw) + 1)
	w.must(os.WriteFile(to, raw[:half], 0o600))
	w.tick(to)
	w.maybe()
	if !w.loaded && w.r.IntN(3) == 0 {
		w.write(l, 1)
		raw, err = os.ReadFile(l.path)
		w.must(err)
	}
	w.grow(to, raw[half:])
	w.tick(to)
	w.maybe()
	if !w.loaded && w.r.IntN(3) == 0 {
		w.write(l, 1)
		w.window[l.lines[len(l.lines)-1]] = true
		w.maybe()
	}
	w.destroy(l, func() { w.must(os.Truncate(l.path, 0)) }, false)
	w.tick(l.path)
}

func (w *rotation) compress(p string) {
	raw, err := os.ReadFile(p)
	if errors.Is(err, os.ErrNotExist) {
		return // removed: it was one too many
	}
	w.must(err)
	info, err := os.Stat(p)
	w.must(err)
	var b bytes.Buffer
	var z io.WriteCloser
	switch w.pack {
	case ".gz":
		z = gzip.NewWriter(&b)
	case ".zst":
		z, err = zstd.NewWriter(&b)
	case ".xz":
		z, err = xz.WriterConfig{DictCap: 64 << 10}.NewWriter(&b)
	}
	w.must(err)
	_, err = z.Write(raw)
	w.must(err)
	w.must(z.Close())
	half := w.r.IntN(b.Len())
	w.must(os.WriteFile(p+w.pack, b.Bytes()[:half], 0o600))
	w.maybe()
	w.grow(p+w.pack, b.Bytes()[half:])
	w.must(os.Chtimes(p+w.pack, info.ModTime(), info.ModTime()))
	w.maybe()
	w.must(os.Remove(p))
	w.maybe()
}

func (w *rotation) grow(p string, with []byte) {
	f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
	w.must(err)
	_, err = f.Write(with)
	w.must(err)
	w.must(f.Close())
}

// onDisk are the lines that lie in the folder.
func (w *rotation) onDisk() map[string]bool {
	out := map[string]bool{}
	files, err := os.ReadDir(w.dir)
	w.must(err)
	for _, f := range files {
		for _, line := range lines([]byte(w.text(filepath.Join(w.dir, f.Name())))) {
			out[line] = true
		}
	}
	return out
}

func lines(raw []byte) []string {
	return strings.Split(string(bytes.Trim(raw, "\n\x00")), "\n")
}

// destroy does what removes lines, and keeps in mind which were not shipped yet. Of a
// log that was empty, or held only what they all begin with, nothing can be reported, nor of
// any before the first batch.
func (w *rotation) destroy(l *rotated, how func(), report bool) {
	if w.loaded {
		how() // nothing of it is lost: nothing is removed then, and copies are whole
		return
	}
	before := w.onDisk()
	how()
	after := w.onDisk()
	for line := range before {
		if !after[line] && !w.seen[line] && strings.HasPrefix(line, "app") {
			w.lost[line] = true
			w.say("lost: %.30q", line)
			w.report = w.report || report && strings.Contains(w.tail[l.path], "app")
		}
	}
}

// batch takes one, and adds what came.
func (w *rotation) batch() {
	most := int64(1 << 30)
	if w.small {
		most = 1
	}
	sink := memory{}
	c, err := Files(w.t.Context(), host.Local("here"), w.patterns, w.pos, most, sink)
	if errors.Is(err, ErrChanging) && w.loaded {
		return
	}
	w.must(err)
	raw, err := logbatch.Index{Source: "x", Kind: logbatch.Lines, Seq: 1, After: c.After}.Encode()
	w.must(err)
	back, err := logbatch.Parse(raw)
	w.must(err)
	for _, p := range c.Parts {
		w.say("  of %s from %d: %d bytes", filepath.Base(string(p.Of)), p.From, p.Bytes)
	}
	w.say("a batch of %d parts, more %v:", len(c.Parts), c.More)
	w.pos, w.more = back.After, c.More
	for _, p := range c.Parts {
		in, err := unpack(".zst", sink[p.File])
		w.must(err)
		clear, err := io.ReadAll(in)
		w.must(err)
		w.got[string(p.Log)] = append(w.got[string(p.Log)], string(clear))
		text := w.rest[string(p.Log)] + string(clear) // it can be written in two
		end := strings.LastIndexByte(text, '\n') + 1
		w.rest[string(p.Log)] = text[end:]
		for _, line := range lines([]byte(text[:end])) {
			if w.seen[line] && strings.HasPrefix(line, "app") {
				w.t.Errorf("%.30q comes again, of %s", line, p.Of)
			}
			w.seen[line] = true
		}
	}
	if w.loaded {
		if len(c.Gaps) > 0 {
			w.t.Errorf("gaps: %+v", c.Gaps)
		}
		return
	}
	w.gaps(c.Gaps)
	w.report = false
}

// gaps are reported where something was lost, or where it cannot be known: the file that
// was written last is not there any more.
func (w *rotation) gaps(gaps []logbatch.Gap) {
	unknown := w.back
	for _, l := range w.logs {
		if was, ok := w.tail[l.path]; ok && (was == "" || !w.begins(l, was)) {
			unknown = true
		}
		w.tail[l.path] = w.newest(l)
	}
	switch {
	case w.report && len(gaps) == 0:
		w.t.Errorf("what was removed before it was read is not told")
	case !w.report && !unknown && len(gaps) > 0:
		w.t.Errorf("nothing was lost, and this is told: %+v", gaps)
	}
}

// newest is what the file holds that was written last.
func (w *rotation) newest(l *rotated) string {
	text := w.text(l.path)
	for turn := l.turns - 1; text == "" && turn >= l.gone; turn-- {
		if text = w.text(w.name(l, turn)); text == "" && w.pack != "" {
			text = w.text(w.name(l, turn) + w.pack)
		}
	}
	return text
}

// text is what a file holds; "" when there is none.
func (w *rotation) text(p string) string {
	raw, err := os.ReadFile(p)
	if err != nil {
		return ""
	}
	if packed(p) {
		in, err := unpack(filepath.Ext(p), bytes.NewReader(raw))
		if err != nil {
			return "" // it is being packed
		}
		raw, _ = io.ReadAll(in) // as much as there is
	}
	return string(raw)
}

// begins reports whether a file of a log begins so.
func (w *rotation) begins(l *rotated, text string) bool {
	paths := []string{l.path}
	for turn := l.gone; turn < l.turns; turn++ {
		paths = append(paths, w.name(l, turn), w.name(l, turn)+w.pack)
	}
	return slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(w.text(p), text) })
}

// settle takes batches until nothing waits.
func (w *rotation) settle() {
	for range 200 {
		if w.batch(); !w.more {
			break
		}
	}
	w.batch()
	for _, l := range w.logs {
		w.must(l.f.Close())
	}
}

func (w *rotation) judge() {
	for _, l := range w.logs {
		wanted := slices.ContainsFunc(w.patterns, func(p string) bool { ok, _ := filepath.Match(p, l.path); return ok })
		text := strings.Join(w.got[l.path], "")
		last, count := -1, map[string]int{}
		for line := range strings.SplitSeq(text, "\n") {
			line = strings.TrimLeft(line, "\x00")
			name, rest, _ := strings.Cut(line, " ")
			if line == "" || line[0] == '#' {
				continue
			}
			if name != filepath.Base(l.path) {
				w.t.Fatalf("%s holds a line of another: %.80q", l.path, line)
			}
			var turn, n int
			if _, err := fmt.Sscanf(rest, "%d.%d", &turn, &n); err != nil {
				w.t.Fatalf("%s: half a line: %.80q", l.path, line)
			}
			if count[line]++; count[line] > 1 {
				w.t.Fatalf("%s: %.40q came %d times", l.path, line, count[line])
			}
			if !w.holds && !w.back && n < last && !w.small {
				w.t.Errorf("%s: line %d came after line %d", l.path, n, last)
			}
			last = n
		}
		for _, line := range l.lines {
			if wanted && count[line] == 0 && !w.lost[line] && !w.window[line] {
				w.t.Fatalf("%s: %.40q did not come", l.path, line)
			}
		}
	}
	for name := range w.got {
		if !slices.ContainsFunc(w.logs, func(l *rotated) bool { return l.path == name }) {
			w.t.Errorf("%s is taken for a log of its own", name)
		}
	}
}
