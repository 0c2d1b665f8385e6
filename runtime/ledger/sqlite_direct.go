package ledger

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// direct runs the statements of Append on the driver's connection, prepared once.
// By way of database/sql, which locks, looks up and converts at each of them,
// and parses BEGIN and COMMIT anew, a commit took a quarter more of the
// processor.
type direct struct {
	conn  driver.Conn // what stmts are of
	stmts map[string]driver.Stmt
	args  []driver.NamedValue
}

// on turns to a connection; database/sql may have made a new one.
func (w *direct) on(raw any) error {
	conn, ok := raw.(driver.Conn)
	if !ok {
		return fmt.Errorf("the driver's connection is a %T", raw)
	}
	if conn != w.conn {
		w.close()
		w.conn, w.stmts = conn, map[string]driver.Stmt{}
	}
	return nil
}

func (w *direct) close() {
	for _, s := range w.stmts {
		_ = s.Close() // nothing is lost with it
	}
	w.conn, w.stmts = nil, nil
}

func (w *direct) prepare(q string, args []driver.Value) (driver.Stmt, error) {
	s, ok := w.stmts[q]
	if !ok {
		var err error
		if s, err = w.conn.Prepare(q); err != nil {
			return nil, err
		}
		w.stmts[q] = s
	}
	w.args = w.args[:0]
	for i, a := range args {
		w.args = append(w.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return s, nil
}

// exec runs a statement. Its arguments have the driver's own types: int64,
// string, []byte.
func (w *direct) exec(q string, args ...driver.Value) error {
	s, err := w.prepare(q, args)
	if err != nil {
		return err
	}
	x, ok := s.(driver.StmtExecContext)
	if !ok {
		return fmt.Errorf("the driver's statement is a %T", s)
	}
	_, err = x.ExecContext(context.Background(), w.args)
	return err
}

// value returns the one column of the first row, or io.EOF.
func (w *direct) value(q string, args ...driver.Value) (driver.Value, error) {
	s, err := w.prepare(q, args)
	if err != nil {
		return nil, err
	}
	x, ok := s.(driver.StmtQueryContext)
	if !ok {
		return nil, fmt.Errorf("the driver's statement is a %T", s)
	}
	rows, err := x.QueryContext(context.Background(), w.args)
	if err != nil {
		return nil, err
	}
	row := make([]driver.Value, 1)
	err = rows.Next(row)
	if cerr := rows.Close(); err == nil {
		err = cerr
	}
	return row[0], err
}
