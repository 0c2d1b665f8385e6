package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/pkg/sftp"
)

// A source that breaks off with an error that holds io.EOF has not ended.
func TestCopyGivesTheSourcesError(t *testing.T) {
	broke := fmt.Errorf("the connection broke: %w", io.EOF)
	ours, theirs := io.Pipe()
	back, out := io.Pipe()
	server := sftp.NewRequestServer(struct {
		io.Reader
		io.WriteCloser
	}{ours, out}, sftp.InMemHandler())
	go func() {
		_ = server.Serve() // it ends when the client does
		out.Close()
	}()
	c, err := sftp.NewClientPipe(back, theirs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	for _, in := range []string{"", "half of it"} {
		f, err := c.OpenFile("/x", os.O_CREATE|os.O_WRONLY)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Copy(f, io.MultiReader(strings.NewReader(in), failing{broke})); !errors.Is(err, broke) {
			t.Errorf("%q: got %v, want the source's error", in, err)
		}
		f.Close()
	}
	var b bytes.Buffer
	if n, err := Copy(&b, strings.NewReader("all of it")); n != 9 || err != nil || b.String() != "all of it" {
		t.Errorf("got %d, %v, %q", n, err, b.String())
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
