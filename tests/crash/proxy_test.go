package crash

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// meter stands between runner and the lab's servers. It counts what passes, in
// both directions, and calls trip, once, when the count reaches limit: before the
// bytes that reach it are passed on.
type meter struct {
	mu    sync.Mutex
	count int64
	limit int64 // 0: none
	trip  func()
}

// arm starts counting from zero.
func (m *meter) arm(limit int64, trip func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count, m.limit, m.trip = 0, limit, trip
}

func (m *meter) passed() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}

func (m *meter) pass(n int) {
	m.mu.Lock()
	m.count += int64(n)
	var trip func()
	if m.limit > 0 && m.count >= m.limit {
		trip, m.limit = m.trip, 0
	}
	m.mu.Unlock()
	if trip != nil {
		trip()
	}
}

// intercept puts the meter before every server of a world: it changes the file in
// which other processes find them.
func (m *meter) intercept(t *testing.T, world string, addrs map[string]string) {
	t.Helper()
	through := map[string]string{}
	for name, real := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		through[name] = l.Addr().String()
		go m.serve(l, real)
	}
	raw, err := json.Marshal(map[string]any{"pid": os.Getpid(), "servers": through})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(world, "serving.json")
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func (m *meter) serve(l net.Listener, real string) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", real)
		if err != nil {
			client.Close()
			continue
		}
		go m.pump(server, client)
		go m.pump(client, server)
	}
}

// pump passes bytes on until one side ends.
func (m *meter) pump(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			m.pass(n)
			if _, werr := to.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
