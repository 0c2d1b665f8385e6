package proxmox

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab/fault"
)

// newCluster makes and opens a cluster in a temporary folder. A test of
// package proxmox talks plain HTTP to it; TLS is the lab's.
func openCluster(t *testing.T, dir string) *Cluster {
	t.Helper()
	if !exists(filepath.Join(dir, "cluster.json")) {
		tokens := map[string]*Token{"root@pam!t1": {Secret: "s", Root: true}, "op@pve!gp": {Secret: "s"}}
		if err := Create(dir, 1, time.Now(), tokens); err != nil {
			t.Fatal(err)
		}
	}
	faults, err := fault.Open(filepath.Join(dir, "faults.json"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), Config{Dir: dir, Faults: faults, Now: time.Now, Sleep: sleep, AuthDelay: time.Millisecond,
		Fingerprint: "AA:BB"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// serve serves a cluster on loopback and returns its base URL.
func serve(t *testing.T, c *Cluster) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Add(1)
	go func() {
		defer work.Done()
		if err := c.Serve(l); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		work.Wait()
	})
	return "http://" + l.Addr().String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, data, 0o600))
}
