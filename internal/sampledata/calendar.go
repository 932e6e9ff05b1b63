package sampledata

import "time"

var india = time.FixedZone("IST", 5*60*60+30*60)

const (
	months  = 18 // that the data goes back
	opens   = 9 * time.Hour
	workday = 10 * time.Hour
)

// A calendar is the working days, Monday to Saturday, of the months before today.
type calendar struct {
	today time.Time // its midnight in India, before which everything happened
	days  []time.Time
}

func newCalendar(today time.Time) calendar {
	year, month, day := today.In(india).Date()
	c := calendar{today: time.Date(year, month, day, 0, 0, 0, 0, india)}
	for d := c.today.AddDate(0, -months, 0); d.Before(c.today); d = d.AddDate(0, 0, 1) {
		if d.Weekday() != time.Sunday {
			c.days = append(c.days, d)
		}
	}
	return c
}

// at is when the i-th of n things happened: each after the one before it, and in the later half more a day, as
// business grows.
func (c calendar) at(i, n int, d dice) time.Time {
	from, to := c.passed(i, n), c.passed(i+1, n)
	return c.moment(from + d.Int64N(max(1, to-from)))
}

// passed is how much of the working time, in milliseconds, has passed when the i-th of n begins: the first half
// of them takes six tenths of it.
func (c calendar) passed(i, n int) int64 {
	all, at, of := int64(len(c.days))*workday.Milliseconds(), int64(i), int64(n)
	if 2*at < of {
		return all / 10 * 12 * at / of
	}
	return all / 10 * (2*of + 8*at) / of
}

func (c calendar) moment(ms int64) time.Time {
	day := min(ms/workday.Milliseconds(), int64(len(c.days)-1))
	within := time.Duration(ms%workday.Milliseconds()) * time.Millisecond
	return c.days[day].Add(opens + within)
}

// later is at most so many days after t, in working hours, and before today.
func (c calendar) later(d dice, t time.Time, days int) time.Time {
	if left := c.daysSince(t); days > left {
		days = left
	}
	if days <= 0 {
		return t
	}
	return working(d, midnight(t).AddDate(0, 0, d.between(1, days)))
}

// working is some time of a day at which people work.
func working(d dice, day time.Time) time.Time {
	return day.Add(opens + time.Duration(d.Int64N(workday.Milliseconds()))*time.Millisecond)
}

// daysSince is how many days lie between the day of t and yesterday.
func (c calendar) daysSince(t time.Time) int {
	return int(c.today.Sub(midnight(t))/(24*time.Hour)) - 1
}

func midnight(t time.Time) time.Time {
	year, month, day := t.In(india).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, india)
}

// date is the day of t in India as Postgres takes a date.
func date(t time.Time) time.Time {
	year, month, day := t.In(india).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}
