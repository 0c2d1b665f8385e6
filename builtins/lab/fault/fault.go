// Package fault keeps the faults of a simulated site: what goes wrong, where,
// and how often. It knows no protocol; the servers of the lab ask it before
// and after they act, and do the deed themselves. The table of all places and
// deeds is lab.FaultPlaces.
//
// The set lives in one JSON file, so that a test which runs the real binary
// can write it with any editor. The file is read anew when it changes. How
// often each fault was met and done is kept beside it, because a process that
// is killed and started again must not do a fault a second time.
package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

// Fault is one thing that goes wrong.
type Fault struct {
	// On names the place: a request such as "POST /nodes/pve1/vzdump", or an
	// event such as "vzdump 100" or "sftp offsite.lab put". A "*" stands for
	// any run of characters.
	On string `json:"on"`
	// Do is the deed and its arguments, separated by spaces: "slow 2s".
	Do string `json:"do"`
	// Skip is how many meetings pass unharmed first.
	Skip int `json:"skip,omitempty"`
	// Times is how often the deed is done after that; 0 means every time.
	Times int `json:"times,omitempty"`
}

// Deed is the action of one fault that is due now.
type Deed struct {
	Name string // first word of Fault.Do
	Args string // the rest, trimmed
}

// Duration reads the argument as a length of time; without one it is def.
func (d Deed) Duration(def time.Duration) (time.Duration, error) {
	if d.Args == "" {
		return def, nil
	}
	v, err := time.ParseDuration(d.Args)
	if err != nil {
		return 0, fmt.Errorf("read duration of fault %q: %w", d.Name+" "+d.Args, err)
	}
	return v, nil
}

// Set is the faults of one world.
type Set struct {
	path string

	mu      sync.Mutex
	size    int64
	changed time.Time
	faults  []Fault
	count   map[string]int // meetings, by place and deed
}

// Open returns the set that is kept in path and path + ".met". Neither has to
// exist.
func Open(path string) (*Set, error) {
	s := &Set{path: path, count: map[string]int{}}
	data, err := os.ReadFile(s.metPath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(data, &s.count); err != nil {
			return nil, fmt.Errorf("read %s: %w", s.metPath(), err)
		}
	}
	return s, s.reload()
}

func (s *Set) metPath() string { return s.path + ".met" }

// Replace writes a new list of faults and forgets how often the old ones were
// met.
func (s *Set) Replace(faults []Fault) error {
	for _, f := range faults {
		if f.On == "" || f.Do == "" || f.Skip < 0 || f.Times < 0 {
			return fmt.Errorf("inject fault %+v: On and Do are needed, Skip and Times cannot be negative", f)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := json.MarshalIndent(faults, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(s.path, data); err != nil {
		return err
	}
	if err := s.reload(); err != nil {
		return err
	}
	s.count = map[string]int{}
	return s.save()
}

// reload reads the file when its size or time differs from what was read.
func (s *Set) reload() error {
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		s.faults, s.size, s.changed = nil, 0, time.Time{}
		return nil
	}
	if err != nil {
		return err
	}
	if info.Size() == s.size && info.ModTime().Equal(s.changed) {
		return nil
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		return err
	}
	var list []Fault
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("read faults from %s: %w", s.path, err)
	}
	s.faults, s.size, s.changed = list, info.Size(), info.ModTime()
	return nil
}

func (s *Set) save() error {
	data, err := json.Marshal(s.count)
	if err != nil {
		return err
	}
	return writeFile(s.metPath(), data)
}

// Due returns the deeds among names that are due at place, in the order of the
// file, and counts the meeting. A fault whose deed is not among names is
// neither done nor counted, so one place can be asked about at several moments.
func (s *Set) Due(place string, names ...string) ([]Deed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.reload(); err != nil {
		return nil, err
	}
	var due []Deed
	met := false
	for _, f := range s.faults {
		name, args, _ := strings.Cut(f.Do, " ")
		if !contains(names, name) || !Match(f.On, place) {
			continue
		}
		met = true
		key := f.On + "\x00" + f.Do
		s.count[key]++
		n := s.count[key]
		if n > f.Skip && (f.Times == 0 || n <= f.Skip+f.Times) {
			due = append(due, Deed{Name: name, Args: strings.TrimSpace(args)})
		}
	}
	if !met {
		return nil, nil
	}
	return due, s.save()
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// Match reports whether place fits pattern, in which "*" stands for any run of
// characters, the empty one and slashes included.
func Match(pattern, place string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == place
	}
	if !strings.HasPrefix(place, parts[0]) {
		return false
	}
	place = place[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(place, part)
		if i < 0 {
			return false
		}
		place = place[i+len(part):]
	}
	return strings.HasSuffix(place, last)
}

func writeFile(path string, data []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
