package sampledata

var firstNames = []string{
	"Aarav", "Aditi", "Aishwarya", "Ajay", "Amit", "Ananya", "Anil", "Anjali", "Arjun", "Asha", "Bhavna", "Chetan",
	"Deepa", "Deepak", "Divya", "Farhan", "Fatima", "Gaurav", "Geeta", "Gurpreet", "Harpreet", "Harsh", "Imran", "Ishaan",
	"Jaspreet", "Jyoti", "Kabir", "Kavita", "Kiran", "Krishna", "Lakshmi", "Lalita", "Manish", "Maria", "Meera", "Mohan",
	"Naveen", "Neha", "Nikhil", "Nisha", "Pooja", "Pradeep", "Prakash", "Priya", "Rahul", "Rajesh", "Rakesh", "Ramesh",
	"Rekha", "Ritu", "Rohan", "Sachin", "Salma", "Sandeep", "Sanjay", "Shalini", "Shreya", "Sneha", "Sunil", "Sunita",
	"Suresh", "Swati", "Tanvi", "Thomas", "Usha", "Vandana", "Varun", "Vijay", "Vikram", "Vivek", "Yash", "Zoya",
}

var surnames = []string{
	"Agarwal", "Ahmed", "Bansal", "Banerjee", "Bhat", "Bose", "Chandra", "Chatterjee", "Chauhan", "Chopra", "Das", "Deshmukh",
	"D'Souza", "Fernandes", "Gandhi", "Ghosh", "Gill", "Goyal", "Gupta", "Hegde", "Iyer", "Jain", "Jha", "Joshi",
	"Kapoor", "Khan", "Kulkarni", "Kumar", "Malhotra", "Mathew", "Mehta", "Menon", "Mishra", "Mukherjee", "Nair", "Naidu",
	"Pandey", "Patel", "Patil", "Pillai", "Prasad", "Rao", "Rathore", "Reddy", "Saxena", "Shah", "Sharma", "Shetty",
	"Singh", "Sinha", "Sodhi", "Thakur", "Trivedi", "Varma", "Verma", "Yadav",
}

var companyNames = []string{
	"Shree Ganesh", "Sri Balaji", "Lakshmi", "Annapurna", "Bharat", "Himalaya", "Ganga", "Kaveri", "Deccan", "Malabar",
	"Royal", "New India", "Sunrise", "Om Sai", "Jai Hind", "Metro", "Classic", "Modern", "Krishna", "Durga",
	"Maruti", "Vinayaka", "Saraswati", "Nilgiri", "Konkan", "Vindhya", "Sahyadri", "Narmada", "Arihant", "Navkar",
}

var trades = []string{
	"Traders", "Enterprises", "Textiles", "Hardware Stores", "Electricals", "Foods", "Agencies", "Logistics", "Pharma",
	"Furnishings", "Steel Works", "Printers", "Software Solutions", "Constructions", "Jewellers", "Caterers", "Auto Spares",
	"Garments", "Tools", "Packaging", "Chemicals", "Ceramics", "Interiors", "Travels", "Book Depot", "Computers",
	"Consultants", "Organics", "Plastics", "Engineering",
}

var legalForms = []string{"", "", "", "", " Pvt Ltd", " LLP", " & Sons", " & Co"}

var sources = []string{"website", "referral", "indiamart", "justdial", "whatsapp", "exhibition", "cold call", "google ads", "walk-in"}

var tags = []string{"retail", "wholesale", "export", "gst-registered", "priority", "festival-season", "credit-30", "whatsapp", "distributor", "msme"}

var contactNotes = []string{
	"Prefers WhatsApp in the evening.", "Asked for a quotation with GST break-up.", "Pays by cheque, always on time.",
	"Wants e-invoices from the next quarter.", "Met at the trade fair; interested in bulk rates.", "Call after Diwali.",
	"Decision is with the elder brother.", "Compares with two other suppliers.", "Needs delivery to a second godown.",
}

var lostReasons = []string{
	"Price too high", "Went with a local supplier", "Budget put off to next year", "No reply after three follow-ups",
	"Needed credit of 90 days", "Requirement cancelled", "Delivery time too long",
}

var dealNeeds = []string{
	"Annual supply", "Bulk order", "Festival stock", "Annual maintenance", "New branch set-up", "Trial order", "Website and billing",
	"Yearly rate contract", "Showroom fit-out", "Warehouse equipment", "GST return filing", "Office computers", "Staff uniforms",
	"Corporate gifts", "Brand campaign", "Packaging redesign",
}

var invoiceNotes = []string{"Thank you for your business.", "Goods once sold are taken back within 7 days.", "Payment by UPI or NEFT, please.", "As per your purchase order."}
