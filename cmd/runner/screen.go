package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/report"
	"github.com/neosofia/runner/runtime/words"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// screen shows a run while it goes on: a line for each item when its copies are proven,
// and for what fails. On a terminal a line below counts them, and large transfers have a
// bar each (mpb: several bars at once, and lines above them); elsewhere a long transfer
// is a line every 30 seconds. With --verbose each step is a line. --json makes every event
// a line of JSON on standard error, so that standard output holds one document.
type screen struct {
	mu    sync.Mutex
	out   io.Writer
	err   io.Writer
	json  bool
	lab   string
	color bool
	bars  *mpb.Progress

	columns func() int // of the terminal; nil: there is none
	bar     map[string]*mpb.Bar
	since   map[string]time.Time // a transfer was reported
	closed  bool

	verbose bool
	items   progress
	tally   atomic.Pointer[string] // what counts the items, for who draws it
}

const reportEvery = 30 * time.Second

func newScreen(out, err *os.File, f *flags) *screen {
	s := &screen{out: out, err: err, json: f.json, verbose: f.verbose, lab: labMark(f.lab),
		bar: map[string]*mpb.Bar{}, since: map[string]time.Time{}}
	live := term.IsTerminal(int(err.Fd())) && os.Getenv("TERM") != "dumb" && !f.json
	s.color = useColor(f.color, live)
	if live {
		s.columns = func() int {
			if w, _, err := term.GetSize(int(err.Fd())); err == nil && w > 0 {
				return w
			}
			return 80
		}
		s.bars = mpb.New(mpb.WithOutput(err), mpb.WithRefreshRate(200*time.Millisecond), mpb.WithAutoRefresh())
		s.count()
	}
	return s
}

func useColor(flag string, terminal bool) bool {
	switch {
	case flag == "always":
		return true
	case flag == "never", os.Getenv("NO_COLOR") != "":
		return false
	case os.Getenv("CLICOLOR_FORCE") != "", os.Getenv("FORCE_COLOR") != "":
		return true
	}
	return terminal
}

// serial makes a watcher safe for branches.
func serial(fn func(runtime.Event)) func(runtime.Event) {
	var mu sync.Mutex
	return func(e runtime.Event) {
		mu.Lock()
		defer mu.Unlock()
		fn(e)
	}
}

func (s *screen) event(e runtime.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if s.json {
		if e.Kind != runtime.EventProgress {
			_ = json.NewEncoder(s.err).Encode(jsonEvent(e)) // a watcher that went away does not stop a backup
		}
		return
	}
	defer func() {
		text := s.items.tally()
		s.tally.Store(&text)
	}()
	switch e.Kind {
	case runtime.EventRun:
		s.line("run %s", e.Text)
	case runtime.EventProgress:
		s.progress(e)
	case runtime.EventEnd:
		s.end(e)
	case runtime.EventLog, runtime.EventWait:
		if s.verbose {
			s.line("%-10s %s: %s", e.Step, e.Primitive, e.Text)
		} else {
			s.reported(e)
		}
	case runtime.EventPrint:
		s.line("%s", e.Text)
	}
}

func jsonEvent(e runtime.Event) map[string]any {
	m := map[string]any{"event": e.Kind}
	for k, v := range map[string]string{"step": e.Step, "primitive": e.Primitive, "text": e.Text} {
		if v != "" {
			m[k] = v
		}
	}
	if e.Failure != nil {
		m["failure"] = e.Failure
	}
	if e.Kind == runtime.EventEnd {
		m["seconds"], m["replayed"], m["args"] = e.Elapsed.Seconds(), e.Replayed, e.Args
	}
	return m
}

func (s *screen) line(format string, args ...any) {
	for i, a := range args {
		if text, ok := a.(string); ok { // what this file paints is of another type
			args[i] = plain(text)
		}
	}
	var b strings.Builder
	for i, l := range strings.Split(fmt.Sprintf(format, args...), "\n") {
		if i > 0 {
			l = "     " + l
		}
		for _, part := range s.fit(l) {
			b.WriteString(s.lab + part + "\n")
		}
	}
	if s.bars != nil {
		_, _ = s.bars.Write([]byte(b.String()))
		return
	}
	_, _ = io.WriteString(s.err, b.String())
}

// stamped begins with the time and a word, below which no further line of it begins.
var stamped = regexp.MustCompile(`^[0-9:]{8} `)

// fit breaks a line between words where the terminal is narrower; a log has no width.
func (s *screen) fit(line string) []string {
	if s.columns == nil {
		return []string{line}
	}
	indent := 5
	if stamped.MatchString(line) {
		indent = 17
	}
	return fit(line, s.columns()-len(s.lab), indent)
}

func (s *screen) end(e runtime.Event) {
	for name, bar := range s.bar {
		if strings.HasPrefix(name, e.Step+"\x00") {
			bar.Abort(true)
			delete(s.bar, name)
		}
	}
	if !s.verbose {
		s.brief(e)
		return
	}
	state := s.paint("32", "ok  ")
	if e.Failure != nil {
		state = s.paint("31", "FAIL")
	}
	if e.Replayed {
		state = "had "
	}
	if e.Text != "" {
		s.line("%-10s %s: %s", e.Step, e.Primitive, e.Text)
	}
	s.line("%s %-10s %-7s %s%s", state, e.Step, words.Took(e.Elapsed), callText(e.Primitive, e.Args), s.made(e))
	if e.Failure != nil {
		s.line("     %s", e.Failure.Message)
	}
}

// made tells in a few words what a step left.
func (s *screen) made(e runtime.Event) string {
	if e.Facts == nil {
		return ""
	}
	var parts []string
	for _, a := range e.Facts.Artifacts {
		text := a.Item + ", " + words.Size(a.Bytes)
		if a.Consistency != "" {
			text += ", " + a.Consistency
		}
		parts = append(parts, text)
	}
	for _, c := range e.Facts.Copies {
		parts = append(parts, c.Item+" on "+c.Target)
	}
	if n := len(e.Facts.Proofs); n > 0 {
		parts = append(parts, fmt.Sprintf("%d proofs", n))
	}
	if n := len(e.Facts.Removed); n > 0 {
		parts = append(parts, fmt.Sprintf("%d copies removed", n))
	}
	if len(parts) == 0 {
		return ""
	}
	return "  -> " + strings.Join(parts, "; ")
}

// painted is a word in its colour.
type painted string

func (s *screen) paint(code, text string) painted {
	if !s.color {
		return painted(text)
	}
	return painted("\x1b[" + code + "m" + text + "\x1b[0m")
}

func (s *screen) progress(e runtime.Event) {
	key := e.Step + "\x00" + e.Transfer
	if s.bars == nil {
		now := time.Now()
		if last, ok := s.since[key]; ok && now.Sub(last) >= reportEvery {
			s.line("     %-10s %s: %s of %s", e.Step, e.Transfer, words.Size(e.Done), words.Size(e.Total))
			s.since[key] = now
		} else if !ok {
			s.since[key] = now
		}
		return
	}
	bar := s.bar[key]
	if bar == nil && e.Total < smallest {
		return // it is over before anybody has read it
	}
	if bar == nil {
		name := s.lab + report.Clean(e.Transfer)
		began := time.Now()
		bar = s.bars.New(e.Total, mpb.NopStyle(), mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.Any(func(st decor.Statistics) string {
			return transfer(name, st.Current, st.Total, time.Since(began), s.columns())
		})))
		s.bar[key] = bar
	}
	bar.SetTotal(e.Total, false)
	bar.SetCurrent(e.Done)
}

// transfer is the line of one that goes on: how far it is, how fast, and how long it will
// take, as much of it as there is room for.
func transfer(name string, done, total int64, took time.Duration, room int) string {
	if total <= 0 || done <= 0 {
		return name
	}
	parts := []string{fmt.Sprintf("%d %%", done*100/total), fmt.Sprintf("%s of %s", words.Size(done), words.Size(total))}
	if rate := float64(done) / max(took.Seconds(), 0.001); took >= time.Second {
		left := time.Duration(float64(total-done)/rate) * time.Second
		parts = append(parts, words.Clock(left)+" left", words.Size(int64(rate))+"/s")
	}
	text := name
	for _, p := range parts {
		if len(text)+2+len(p) < room {
			text += "  " + p
		}
	}
	return text
}

func (s *screen) close() {
	s.mu.Lock()
	s.closed = true
	for _, b := range s.bar {
		b.Abort(true)
	}
	if s.items.bar != nil {
		s.items.bar.Abort(true)
	}
	s.mu.Unlock()
	if s.bars != nil {
		s.bars.Wait()
	}
}
