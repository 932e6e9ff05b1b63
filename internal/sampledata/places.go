package sampledata

// A city with GST's code of its state.
type city struct{ name, state string }

var cities = []city{
	{"Srinagar", "01"}, {"Jammu", "01"}, {"Shimla", "02"}, {"Solan", "02"}, {"Ludhiana", "03"}, {"Amritsar", "03"},
	{"Jalandhar", "03"}, {"Chandigarh", "04"}, {"Dehradun", "05"}, {"Haridwar", "05"}, {"Gurugram", "06"},
	{"Faridabad", "06"}, {"Panipat", "06"}, {"New Delhi", "07"}, {"Delhi", "07"}, {"Jaipur", "08"}, {"Jodhpur", "08"},
	{"Udaipur", "08"}, {"Kota", "08"}, {"Lucknow", "09"}, {"Kanpur", "09"}, {"Noida", "09"}, {"Agra", "09"},
	{"Varanasi", "09"}, {"Patna", "10"}, {"Gaya", "10"}, {"Gangtok", "11"}, {"Itanagar", "12"}, {"Dimapur", "13"},
	{"Imphal", "14"}, {"Aizawl", "15"}, {"Agartala", "16"}, {"Shillong", "17"}, {"Guwahati", "18"}, {"Dibrugarh", "18"},
	{"Kolkata", "19"}, {"Howrah", "19"}, {"Siliguri", "19"}, {"Ranchi", "20"}, {"Jamshedpur", "20"},
	{"Bhubaneswar", "21"}, {"Cuttack", "21"}, {"Raipur", "22"}, {"Bhilai", "22"}, {"Indore", "23"}, {"Bhopal", "23"},
	{"Ahmedabad", "24"}, {"Surat", "24"}, {"Rajkot", "24"}, {"Vadodara", "24"}, {"Silvassa", "26"}, {"Daman", "26"},
	{"Mumbai", "27"}, {"Pune", "27"}, {"Nagpur", "27"}, {"Nashik", "27"}, {"Thane", "27"}, {"Bengaluru", "29"},
	{"Mysuru", "29"}, {"Hubballi", "29"}, {"Mangaluru", "29"}, {"Panaji", "30"}, {"Margao", "30"}, {"Kavaratti", "31"},
	{"Kochi", "32"}, {"Thiruvananthapuram", "32"}, {"Kozhikode", "32"}, {"Chennai", "33"}, {"Coimbatore", "33"},
	{"Madurai", "33"}, {"Tiruppur", "33"}, {"Puducherry", "34"}, {"Port Blair", "35"}, {"Hyderabad", "36"},
	{"Warangal", "36"}, {"Visakhapatnam", "37"}, {"Vijayawada", "37"}, {"Guntur", "37"}, {"Leh", "38"},
}

// Where most small businesses are: the states that a new organization is put in.
var busyCities = []city{
	{"Mumbai", "27"}, {"Pune", "27"}, {"Bengaluru", "29"}, {"Chennai", "33"}, {"Hyderabad", "36"}, {"Ahmedabad", "24"},
	{"Surat", "24"}, {"Jaipur", "08"}, {"New Delhi", "07"}, {"Kolkata", "19"}, {"Indore", "23"}, {"Kochi", "32"},
	{"Lucknow", "09"}, {"Coimbatore", "33"}, {"Ludhiana", "03"}, {"Gurugram", "06"},
}

func citiesOf(state string) (here []city) {
	for _, c := range cities {
		if c.state == state {
			here = append(here, c)
		}
	}
	return here
}
