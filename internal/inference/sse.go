package inference

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxEvent bounds one event of a stream; a chunk of an answer has a few
// hundred bytes.
const maxEvent = 1 << 20

var errEventTooLong = errors.New("read event: longer than 1 MiB")

// events reads server-sent events (WHATWG HTML, section 9.2) and hands on the
// data of each; other fields don't matter here. It returns nil at the end of
// the stream, whether or not that was meant, and what visit returned if that
// wasn't nil. An event that the end of the stream cut is not handed on.
func events(r io.Reader, visit func(data []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxEvent)
	lines.Split(splitLines)
	var data []byte
	some := false
	for lines.Scan() {
		line := lines.Bytes()
		if len(line) == 0 {
			if some {
				if err := visit(data); err != nil {
					return err
				}
			}
			data, some = data[:0], false
			continue
		}
		value, ok := dataField(line)
		if !ok {
			continue
		}
		if some {
			data = append(data, '\n')
		}
		if len(data)+len(value) > maxEvent {
			return errEventTooLong
		}
		data, some = append(data, value...), true
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return errEventTooLong
	}
	return lines.Err()
}

// dataField gives the value of a data line without the one space that may
// follow the colon.
func dataField(line []byte) ([]byte, bool) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	if string(name) != "data" {
		return nil, false
	}
	return bytes.TrimPrefix(value, []byte(" ")), true
}

// splitLines splits at LF, CRLF and CR. A last line without an end is dropped,
// because it may have been cut.
func splitLines(buf []byte, atEOF bool) (int, []byte, error) {
	i := bytes.IndexAny(buf, "\r\n")
	switch {
	case i < 0 && atEOF:
		return len(buf), nil, nil
	case i < 0:
		return 0, nil, nil
	case buf[i] == '\n':
		return i + 1, buf[:i], nil
	case i+1 < len(buf) && buf[i+1] == '\n':
		return i + 2, buf[:i], nil
	case i+1 < len(buf) || atEOF:
		return i + 1, buf[:i], nil
	}
	return 0, nil, nil // a CR at the end of the buffer may be half a CRLF
}
