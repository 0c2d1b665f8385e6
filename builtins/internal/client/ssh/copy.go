package ssh

import "io"

// Copy copies r to w, a file of an SFTP session among others, and gives the error
// with which r ended. pkg/sftp takes one that holds io.EOF, as those of connections
// that broke do, for the end of the data.
func Copy(w io.Writer, r io.Reader) (int64, error) {
	k := &keep{r: r}
	n, err := io.Copy(w, k)
	if k.err != nil {
		err = k.err
	}
	return n, err
}

type keep struct {
	r   io.Reader
	err error
}

func (k *keep) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	if err != nil && err != io.EOF {
		k.err = err
	}
	return n, err
}
