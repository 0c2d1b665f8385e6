package cloudflare

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// state is a folder of JSON files.
type state struct {
	dir    string
	mu     sync.Mutex
	cached map[string]cached
}

type cached struct {
	size    int64
	changed time.Time
	data    []byte
	list    []json.RawMessage
}

// load reads a file again when its size or time differ.
func (s *state) load(name string) (cached, error) {
	full := filepath.Join(s.dir, filepath.FromSlash(name))
	info, err := os.Stat(full)
	if errors.Is(err, fs.ErrNotExist) {
		return cached{}, &failure{status: 404, code: 7003, text: "Could not route to the object, perhaps your object identifier is invalid?"}
	}
	if err != nil {
		return cached{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.cached[name]; ok && c.size == info.Size() && c.changed.Equal(info.ModTime()) {
		return c, nil
	}
	data, err := os.ReadFile(full)
	if err != nil {
		return cached{}, err
	}
	c := cached{size: info.Size(), changed: info.ModTime(), data: data}
	if len(data) > 0 && data[0] == '[' {
		if err := json.Unmarshal(data, &c.list); err != nil {
			return cached{}, fmt.Errorf("read %s: %w", name, err)
		}
	}
	s.cached[name] = c
	return c, nil
}

// read decodes a file.
func (s *state) read(name string, v any) error {
	c, err := s.load(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(c.data, v); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// write replaces a file.
func (s *state) write(name string, v any) error {
	full := filepath.Join(s.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.cached, name)
	s.mu.Unlock()
	if err := os.WriteFile(full+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(full+".new", full)
}

// Object is one object of the API.
type Object = map[string]any

// Edit changes a list of objects, such as "zones/"+ZoneID+"/dns_records".
func (s *Server) Edit(name string, edit func([]Object) []Object) error {
	var list []Object
	if err := s.state.read(name+".json", &list); err != nil {
		return err
	}
	return s.state.write(name+".json", edit(list))
}

// EditObject changes an object, such as "zones/"+ZoneID+"/dnssec".
func (s *Server) EditObject(name string, edit func(Object)) error {
	o := Object{}
	if err := s.state.read(name+".json", &o); err != nil {
		return err
	}
	edit(o)
	return s.state.write(name+".json", o)
}

// SetRecords gives the zone n records, a few of each common type.
func (s *Server) SetRecords(n int) error {
	return s.Edit("zones/"+ZoneID+"/dns_records", func([]Object) []Object { return manyRecords(n) })
}
