package proxmox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"
)

// The HTTP side is written by hand: net/http's server cannot send a reason
// phrase of its own, in which PVE carries its error texts, nor cut a connection
// at a chosen moment.

const (
	idleTime      = 5 * time.Second
	perConnection = 100 // requests
	maxBody       = 512 << 10
)

// Serve answers API requests on every connection of the listener, which speaks
// TLS already, until it is closed or the cluster is. It returns when all
// connections are done.
func (c *Cluster) Serve(l net.Listener) error {
	defer context.AfterFunc(c.ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept connection: %w", err)
		}
		c.work.Add(1)
		go func() {
			defer c.work.Done()
			c.serveConn(conn)
		}()
	}
}

func (c *Cluster) serveConn(conn net.Conn) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in := bufio.NewReader(io.LimitReader(conn, 1<<30))
	for n := range perConnection {
		idle := time.AfterFunc(idleTime, func() { conn.Close() })
		_, err := in.Peek(1)
		idle.Stop()
		if err != nil {
			return
		}
		if !c.serveOne(ctx, conn, in, n == perConnection-1) {
			return
		}
	}
}

// serveOne answers one request; false ends the connection, which the last one
// says.
func (c *Cluster) serveOne(ctx context.Context, conn net.Conn, in *bufio.Reader, last bool) bool {
	r, err := http.ReadRequest(in)
	if err != nil {
		_ = writeAnswer(conn, &answer{status: 400, reason: "bad request"}, c.cfg.Now(), true)
		return false
	}
	a := c.readAndHandle(ctx, r)
	if a == nil {
		return false // cut
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(r.Body, maxBody)); err != nil {
		return false
	}
	end := a.status >= 400 || r.Close || last
	return writeAnswer(conn, a, c.cfg.Now(), end) == nil && !end
}

func (c *Cluster) readAndHandle(ctx context.Context, r *http.Request) *answer {
	if r.ContentLength > maxBody {
		return &answer{status: 501, reason: "for data too large"}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil
	}
	if len(body) > maxBody {
		return &answer{status: 501, reason: "for data too large"}
	}
	return c.answer(ctx, r, body)
}

// answer is what goes back over the wire. A nil body is an empty one.
type answer struct {
	status int
	reason string
	body   map[string]any
}

func writeAnswer(w io.Writer, a *answer, now time.Time, end bool) error {
	var body []byte
	if a.body != nil {
		var err error
		if body, err = shuffled(a.body); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	reason := strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, a.reason)
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nCache-Control: max-age=0\r\n", a.status, reason)
	if end {
		b.WriteString("Connection: close\r\n")
	} else {
		b.WriteString("Connection: Keep-Alive\r\n")
	}
	fmt.Fprintf(&b, "Date: %s\r\nPragma: no-cache\r\nServer: pve-api-daemon/3.0\r\nContent-Length: %d\r\n", now.UTC().Format(http.TimeFormat),
		len(body))
	if a.body != nil {
		b.WriteString("Content-Type: application/json;charset=UTF-8\r\n")
	}
	b.WriteString("\r\n")
	b.Write(body)
	_, err := w.Write(b.Bytes())
	return err
}

// shuffled prints JSON whose object keys come in another order with every
// call, as Perl's hashes do.
func shuffled(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var plain any
	if err := dec.Decode(&plain); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = shuffle(&b, plain)
	return b.Bytes(), err
}

func shuffle(b *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case map[string]any:
		keys := sortedKeys(v)
		rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		b.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := shuffle(b, k); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := shuffle(b, v[k]); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := shuffle(b, e); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	default:
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		b.Write(data)
	}
	return nil
}
